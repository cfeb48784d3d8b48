/**
 * The task pool as owner threads may use it: background work (scrub, compaction), so it never takes the last thread
 * of the pool, and none starts before the logs are open. Dispatcher thread.
 *
 *   owner ── comlink ──▶ runner of this incarnation ── waits for a turn ──▶ TaskPool
 *
 * A task of an owner that died is ended with it: the next incarnation must not meet files that still change.
 */
import type { JournalReplay, ReplayInput } from '../contracts/journal.ts'
import type { TaskName, TaskRunner } from '../contracts/tasks.ts'
import type { TaskPool } from '../task-pool.ts'

export class OwnerTasks {
  readonly #pool: Pick<TaskPool, 'run' | 'threadsMax'>
  readonly #runningMax: number
  readonly #waiting: (() => void)[] = []
  #running = 0
  #isOpen = false

  constructor(pool: Pick<TaskPool, 'run' | 'threadsMax'>) {
    this.#pool = pool
    this.#runningMax = Math.max(1, pool.threadsMax - 1)
  }

  /** The logs are open, so no scan of the start waits for a thread any more: tasks may begin. */
  open(): void {
    this.#isOpen = true
    this.#beginMore()
  }

  /** At the start of the process, before any log is open. */
  replayJournals(input: ReplayInput): Promise<JournalReplay> {
    return this.#pool.run('tasks/replay-journals', input)
  }

  /** @param signal aborts when the owner is gone: what it asked for is ended and rejects. */
  runnerFor(signal: AbortSignal): TaskRunner {
    return { run: (task, input) => this.#run(task, input, signal) }
  }

  async #run(task: TaskName, input: unknown, signal: AbortSignal): Promise<unknown> {
    await this.#turn()
    try {
      signal.throwIfAborted()
      return await this.#pool.run(`tasks/${task}`, input, { signal, isBackground: true })
    } finally {
      this.#running--
      this.#beginMore()
    }
  }

  /** Resolves when it is this task's turn, also for one that was aborted meanwhile. */
  #turn(): Promise<void> {
    return new Promise(begin => {
      this.#waiting.push(begin)
      this.#beginMore()
    })
  }

  #beginMore(): void {
    while (this.#isOpen && this.#running < this.#runningMax) {
      const begin = this.#waiting.shift()
      if (begin === undefined) return
      this.#running++
      begin()
    }
  }
}
