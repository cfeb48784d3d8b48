/**
 * Stateless CPU jobs (recovery scans, compaction, scrub, decoding) whose code is in workers/tasks, run by piscina: one
 * pool of threads for what somebody waits for, one for what goes on in the background. Dispatcher thread.
 *
 * Nothing is loaded or started before the first task, and idle threads end, so a broker that never needs it pays
 * nothing. `atomics` is 'disabled': with piscina's default an idle worker blocks in Atomics.wait, and its timers and
 * pending syncs with it.
 */
import { availableParallelism } from 'node:os'
import type { Piscina } from 'piscina'
import { threadHeap } from './thread-heap.ts'
import { type WorkerName, workerUrl } from './worker-url.ts'

export interface TaskPoolOptions {
  /** Default: the cores, at least 2 and at most 4. */
  readonly threadsMax?: number
  /** A thread without work ends after this time. */
  readonly idleTimeoutMs?: number
  /** JavaScript heap of one thread in MiB; a task that needs more is ended, and rejects. */
  readonly heapMbMax?: number
}

export interface RunOptions {
  /** Aborting ends the thread that runs the task; the run rejects with an AbortError. */
  readonly signal?: AbortSignal
  /** Nobody waits for it: it gets threads of its own, which may make themselves less urgent for good. */
  readonly isBackground?: boolean
}

/** One for what somebody waits for, one for what goes on in the background. */
const threadsMin = 2
const threadsMaxDefault = 4
const idleTimeoutMsDefault = 5000
const heapMbMaxDefault = 512

export class TaskPool {
  readonly threadsMax: number
  readonly #idleTimeoutMs: number
  readonly #heapMbMax: number
  #foreground: Promise<Piscina> | null = null
  #background: Promise<Piscina> | null = null
  #closed = false

  constructor(options: TaskPoolOptions = {}) {
    const cores = Math.min(threadsMaxDefault, Math.max(threadsMin, availableParallelism()))
    this.threadsMax = options.threadsMax ?? cores
    this.#idleTimeoutMs = options.idleTimeoutMs ?? idleTimeoutMsDefault
    this.#heapMbMax = options.heapMbMax ?? heapMbMaxDefault
  }

  /** True once a task has been run: the pool's code is loaded. */
  get started(): boolean {
    return this.#foreground !== null || this.#background !== null
  }

  /**
   * Calls the default export of a task file with `input` (structured clone; a SharedArrayBuffer stays shared).
   * @param task a file of workers/tasks, or any module's URL.
   * @returns what the task returns. Rejects with what it throws, or, when its thread dies (exit, heap full), with an
   *   error that says so; the pool replaces the thread and goes on. Nothing is retried here.
   */
  async run<T>(task: WorkerName | URL, input: unknown, options: RunOptions = {}): Promise<T> {
    if (this.#closed) throw new Error('the task pool is closed')
    const pool = await this.#poolFor(options)
    const filename = (typeof task === 'string' ? workerUrl(task) : task).href
    const result: T = await pool.run(input, { filename, name: 'default', signal: options.signal })
    return result
  }

  /** Ends all threads at once and waits for their exit. Tasks that still run reject. */
  async close(): Promise<void> {
    this.#closed = true
    for (const started of [this.#foreground, this.#background]) {
      const pool = await started
      await pool?.destroy()
    }
  }

  #poolFor({ isBackground }: RunOptions): Promise<Piscina> {
    if (isBackground === true) {
      this.#background ??= this.#start()
      return this.#background
    }
    this.#foreground ??= this.#start()
    return this.#foreground
  }

  async #start(): Promise<Piscina> {
    const { Piscina } = await import('piscina')
    return new Piscina({
      minThreads: 0,
      maxThreads: this.threadsMax,
      idleTimeout: this.#idleTimeoutMs,
      concurrentTasksPerWorker: 1,
      resourceLimits: threadHeap(this.#heapMbMax),
      atomics: 'disabled',
      recordTiming: false,
    })
  }
}
