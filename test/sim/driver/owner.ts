/**
 * The simulated owner thread: does what workers/owner-loop.ts does, on the same log core, without rings and doorbells.
 *
 *   turn   take commands → stage appends, serve reads → commit each touched log once → answers
 */
import type { Clock } from '../../../src/contracts/clock.ts'
import type { Disk } from '../../../src/contracts/disk.ts'
import type { TaskRunner } from '../../../src/contracts/tasks.ts'
import { Errors } from '../../../src/protocol/errors.ts'
import type { OwnerJournal } from '../../../workers/journal/owner-journal.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { newAppendResult, newReadResult, type ReadResult } from '../../../workers/log/results.ts'
import type { SentBatch } from '../actors/batches.ts'
import type { PartitionModel } from '../checker/model.ts'
import type { World } from '../world/world.ts'

export interface AppendAnswer {
  error: number
  baseOffset: number
  endOffset: number
  isDuplicate: boolean
}

export interface AppendCommand {
  readonly kind: 'append'
  readonly slot: number
  readonly generation: number
  readonly batch: SentBatch
  /** A copy of its own: staging patches it. */
  readonly bytes: Buffer
  readonly apiVersion: number
  readonly answer: (answer: AppendAnswer) => void
}

export interface ReadCommand {
  readonly kind: 'read'
  readonly slot: number
  readonly generation: number
  readonly offset: number
  readonly maxBytes: number
  readonly answer: (answer: ReadAnswer, log: PartitionLog | null) => void
}

export interface ReadAnswer extends ReadResult {
  readonly bytes: Buffer
}

/** Anything else that is done between rounds. */
export interface CallCommand {
  readonly kind: 'call'
  readonly run: () => void
}

export type Command = AppendCommand | ReadCommand | CallCommand

export class SimOwner {
  readonly world: World
  readonly env: { readonly disk: Disk; readonly clock: Clock; readonly tasks: TaskRunner }
  readonly logs: (PartitionLog | undefined)[] = []
  /** Set by the broker, which has one for each thread. */
  journal: OwnerJournal | undefined
  readonly life: number
  readonly #models: readonly PartitionModel[]
  readonly #roundMax: number
  #inbox: Command[] = []
  #isTurnScheduled = false
  readonly #staged: { command: AppendCommand; answer: AppendAnswer; log: PartitionLog | null }[] =
    []
  readonly #result = newAppendResult()

  constructor(
    world: World,
    disk: Disk,
    tasks: TaskRunner,
    models: readonly PartitionModel[],
    roundMax: number,
  ) {
    this.world = world
    this.life = world.life
    this.env = { disk, clock: world.clock(), tasks }
    this.#models = models
    this.#roundMax = roundMax
  }

  submit(command: Command): void {
    this.#inbox.push(command)
    this.#schedule()
  }

  /** The thread died: what it had not answered is refused. */
  refuseAll(): void {
    const error = Errors.NOT_LEADER_OR_FOLLOWER
    for (const { command } of this.#staged.splice(0)) refuse(command, error)
    for (const command of this.#inbox.splice(0)) refuse(command, error)
  }

  #schedule(): void {
    if (this.#isTurnScheduled) return
    this.#isTurnScheduled = true
    this.world.after(this.world.random.next() * 0.3, 'turn', this.life, this.#turn)
  }

  readonly #turn = (): void => {
    this.#isTurnScheduled = false
    const commands = this.#inbox.splice(0, this.#roundMax)
    for (const command of commands) this.#execute(command)
    this.#commit()
    if (this.#inbox.length > 0) this.#schedule()
  }

  #execute(command: Command): void {
    if (command.kind === 'call') {
      // The control plane runs between rounds.
      this.#commit()
      command.run()
      return
    }
    const log = this.logs[command.slot]
    const known = log !== undefined && log.generation === command.generation ? log : null
    if (command.kind === 'append') this.#stage(command, known)
    else this.#read(command, known)
  }

  #stage(command: AppendCommand, log: PartitionLog | null): void {
    const answer = {
      error: Errors.NONE as number,
      baseOffset: -1,
      endOffset: -1,
      isDuplicate: false,
    }
    this.#staged.push({ command, answer, log })
    if (log === null) {
      answer.error = Errors.NOT_LEADER_OR_FOLLOWER
      return
    }
    const result = this.#result
    log.stage(command.bytes, command.apiVersion, result)
    answer.error = result.error
    if (result.error === Errors.OUT_OF_ORDER_SEQUENCE_NUMBER) {
      this.#model(command.slot).refused(command.batch)
    }
    if (result.error !== Errors.NONE) return
    answer.baseOffset = result.baseOffset
    answer.endOffset = result.lastOffset + 1
    answer.isDuplicate = result.duplicate
    if (result.duplicate) {
      this.world.count('duplicates answered')
      return
    }
    const { baseOffset, lastOffset } = result
    this.#model(command.slot).staged(baseOffset, lastOffset, command.bytes, command.batch)
  }

  #commit(): void {
    const staged = this.#staged.splice(0)
    if (staged.length === 0) return
    const touched = new Set<PartitionLog>()
    for (const { log, answer } of staged) {
      if (log !== null && answer.error === Errors.NONE && !answer.isDuplicate) touched.add(log)
    }
    for (const log of touched) {
      const errorCode = this.#commitLog(log)
      if (errorCode === Errors.NONE) continue
      for (const entry of staged) {
        if (entry.log === log && entry.answer.error === Errors.NONE) entry.answer.error = errorCode
      }
    }
    this.journal?.turnEnds([...touched])
    for (const { command, answer } of staged) command.answer(answer)
  }

  #commitLog(log: PartitionLog): number {
    const model = this.#model(log.slot)
    const errorCode = log.commit()
    if (errorCode === Errors.NONE) model.committed()
    else model.failed()
    const result = errorCode === Errors.NONE ? 'written' : `failed with ${errorCode}`
    this.world.note(() => `owner  ${model.name}: round ${result}, log end ${log.offsets.logEnd}`)
    return errorCode
  }

  #read(command: ReadCommand, log: PartitionLog | null): void {
    const { offset, maxBytes, answer } = command
    const result = newReadResult()
    const region = Buffer.allocUnsafe(maxBytes)
    if (log === null) result.error = Errors.NOT_LEADER_OR_FOLLOWER
    else log.read(offset, maxBytes, region, result)
    const bytes = region.subarray(result.start, result.start + result.length)
    answer({ ...result, bytes }, log)
  }

  #model(slot: number): PartitionModel {
    return this.#models[slot] as PartitionModel
  }
}

function refuse(command: Command, error: number): void {
  if (command.kind === 'append') {
    command.answer({ error, baseOffset: -1, endOffset: -1, isDuplicate: false })
  } else if (command.kind === 'read') {
    command.answer({ ...newReadResult(), error, bytes: Buffer.alloc(0) }, null)
  }
}
