/**
 * The process: what the dispatcher and the partition host do around one owner thread. Opens partitions, lets acks=all
 * wait for the high watermark, reopens what an owner's death or a failed sync closed, stops clean.
 */
import type { PartitionSpec, RecoveryVerdict } from '../../../src/contracts/control.ts'
import { Errors } from '../../../src/protocol/errors.ts'
import { PartitionLog } from '../../../workers/log/log.ts'
import { recoverLog } from '../../../workers/log/recovery.ts'
import type { SentBatch } from '../actors/batches.ts'
import { Anomaly } from '../checker/anomaly.ts'
import { CrashError, type SimDisk } from '../world/disk.ts'
import { coded } from '../world/sim-file.ts'
import { answerAppend, type ProduceAnswer } from './acks.ts'
import type { Connection } from './connection.ts'
import { type Hosted, specOf } from './hosted.ts'
import { simulatedTasks, startHousekeeping } from './housekeeping.ts'
import { replay, startJournal, withJournaled } from './journals.ts'
import { type Noted, notedBefore, readNoted } from './noted-ends.ts'
import { type Command, type ReadAnswer, SimOwner } from './owner.ts'
import type { Place } from './places.ts'
import type { Simulation } from './simulation.ts'

export class Broker {
  readonly #sim: Simulation
  readonly connections = new Set<Connection>()
  readonly hosted: Hosted[]
  owner: SimOwner
  #housekeeping: { stop(): void } | null = null
  isAlive = true
  /** Owner threads run: before, only the whole process can die. */
  isReplayed = false
  /** The last process did not stop clean, and its logs have not all been opened since. */
  #recovers = false
  readonly #settled = new Set<number>()
  /** No owner of this process has died. */
  #mayJournal = true
  #stopped: ((isClean: boolean) => void) | null = null
  #generation = 0

  constructor(sim: Simulation) {
    this.#sim = sim
    this.owner = this.#newOwner()
    this.hosted = sim.places.map(place => ({
      place,
      generation: ++this.#generation,
      state: 'opening',
      ...notedOf(sim.disk, place),
      flushedOffset: -1,
      waiting: [],
      isFailed: false,
      isUnreplayed: false,
    }))
  }

  #newOwner(): SimOwner {
    const { world, disk, models, plan } = this.#sim
    const tasks = simulatedTasks(this.#sim)
    const owner = new SimOwner(world, disk, tasks, models, plan.roundMax)
    this.#housekeeping = startHousekeeping(this.#sim, owner)
    owner.journal = startJournal(this.#sim, owner)
    return owner
  }

  /** False when the process gave up. */
  boot(isClean: boolean): boolean {
    this.#recovers = !isClean
    try {
      replay(this.#sim, isClean, this.hosted)
      if (!this.isUnreplayed) this.#sim.decay.isJournalRotten = false
    } catch (error) {
      if (error instanceof CrashError || this.#sim.disk.crashed) return true
      this.#sim.checkOpenError(error as Error)
      return false
    }
    if (this.#sim.disk.crashed) return true
    this.isReplayed = true
    for (const { place } of this.hosted) this.openLater(place.slot, !isClean, false)
    return true
  }

  get isUnreplayed(): boolean {
    return this.hosted.some(({ isUnreplayed }) => isUnreplayed)
  }

  /** The journal of a new owner waits until nobody needs what the one before wrote. */
  #maybeStartJournal(): void {
    const isStart = this.#mayJournal && this.#settled.size === this.hosted.length
    const isWhole = this.hosted.every(({ state }) => state === 'online')
    if ((isStart || isWhole) && !this.isUnreplayed) this.owner.journal?.permit()
  }

  /** What is read back after an unclean stop is not believed. Under `os` nothing was promised beyond the page cache. */
  #copies(place: Place): boolean {
    return this.#recovers && !this.#isWeak(place)
  }

  #isWeak({ slot }: Place): boolean {
    return this.#sim.host.configs[slot]?.flushPolicy === 'os'
  }

  /** Opens a partition in an event of its own, perhaps after a scan by a task. */
  openLater(slot: number, recover: boolean, copyForward: boolean, delayMs = 1): void {
    const { world, plan, host } = this.#sim
    const { generation } = this.#hosted(slot)
    const isCurrent = (): boolean => this.#hosted(slot).generation === generation
    const isScanned = recover && plan.operations.has('verdict-task') && world.random.chance(0.5)
    world.after(world.random.next() * delayMs, `open ${slot}`, this.owner.life, () => {
      if (!isCurrent()) return
      const copies = copyForward || (recover && this.#copies(this.#hosted(slot).place))
      const spec = specOf(this.#sim, this.#hosted(slot), recover, copies)
      const verdict = isScanned ? this.#scan(spec) : null
      if (verdict === null) {
        this.#open(spec)
        return
      }
      const after = world.random.next() * 5
      world.after(after, `open ${slot} with verdict`, this.owner.life, () => {
        if (isCurrent()) this.#open({ ...spec, verdict })
      })
    })
    host.opens++
  }

  /** As the recovery task does, on the simulated disk. */
  #scan(spec: PartitionSpec): RecoveryVerdict | null {
    const { disk, world } = this.#sim
    const { indexIntervalBytes } = spec.config
    const input = { ...spec, indexIntervalBytes, nowMs: world.clock().wallMs() }
    try {
      return recoverLog(disk, input).verdict ?? null
    } catch {
      return null
    }
  }

  #open(spec: PartitionSpec): void {
    const { world, disk } = this.#sim
    const hosted = this.#hosted(spec.slot)
    try {
      if (hosted.isUnreplayed) throw coded('EIO', 'its journal was not replayed')
      const { journal, env } = this.owner
      const noted = notedBefore(disk, spec)
      const log = PartitionLog.open({
        spec: withJournaled(this.owner, spec),
        env,
        journal,
        onAdvance: this.#advanced,
        onFailure: this.#failed,
      })
      if (disk.crashed) return
      if (spec.copyForward) journal?.forget(spec.slot)
      this.owner.logs[spec.slot] = log
      hosted.state = 'online'
      hosted.isFailed = false
      this.#sim.opened(log, spec, noted)
    } catch (error) {
      if (error instanceof CrashError || disk.crashed) return
      if (error instanceof Anomaly) throw error
      this.#sim.checkOpenError(error as Error)
      hosted.state = 'offline'
      hosted.isFailed = true
      world.count('opens failed')
      world.note(() => `host   ${hosted.place.topic} does not open: ${(error as Error).message}`)
      this.#bringBackLater(spec.slot)
    }
    this.#settled.add(spec.slot)
    if (this.#settled.size === this.hosted.length) this.#recovers = false
    this.#maybeStartJournal()
  }

  readonly #advanced = (log: PartitionLog): void => {
    const { waiting, generation } = this.#hosted(log.slot)
    if (generation !== log.generation || waiting.length === 0) return
    const { highWatermark } = log.offsets
    const done = waiting.filter(({ endOffset }) => endOffset <= highWatermark)
    if (done.length === 0) return
    const rest = waiting.filter(({ endOffset }) => endOffset > highWatermark)
    waiting.splice(0, waiting.length, ...rest)
    for (const { answer } of done) answer(Errors.NONE)
  }

  readonly #failed = (log: PartitionLog, error: Error): void => {
    const { disk, world } = this.#sim
    if (disk.crashed) return
    const hosted = this.#hosted(log.slot)
    world.count('offline')
    world.note(() => `owner  slot ${log.slot} is offline: ${error.message}`)
    hosted.isFailed = true
    this.#sim.wentOffline(log)
    for (const { answer } of hosted.waiting.splice(0)) answer(Errors.KAFKA_STORAGE_ERROR)
    this.#bringBackLater(log.slot)
  }

  #bringBackLater(slot: number): void {
    const { world, plan, faults } = this.#sim
    if (!plan.operations.has('bring-back') && !faults.isHealed) return
    const { generation } = this.#hosted(slot)
    const delayMs = faults.isHealed ? 10 : world.random.logRange(10, 5_000)
    world.after(delayMs, `bring back ${slot}`, this.owner.life, () => {
      if (this.#hosted(slot).generation === generation) this.bringBack(slot)
    })
  }

  /** A partition that went offline, or never opened, comes back while the others serve. */
  bringBack(slot: number): void {
    const log = this.owner.logs[slot]
    if (log !== undefined && log.state !== 'offline') return
    const { world } = this.#sim
    world.count('brought back')
    world.note(() => `host   slot ${slot} is brought back`)
    if (log !== undefined) this.#noteFlushed(this.#hosted(slot), log)
    log?.close({ clean: false })
    this.#fence(slot)
    this.#sim.models[slot]?.crashed(false)
    this.openLater(slot, true, true)
  }

  #noteFlushed(hosted: Hosted, { offsets }: PartitionLog): void {
    hosted.recoveryPoint = offsets.flushedEnd
    hosted.flushedOffset = offsets.flushedEnd
  }

  /** Closes one log as far as that works, and opens it again. */
  closeReopen(slot: number): void {
    const log = this.owner.logs[slot]
    if (log === undefined) return
    const { life } = this.owner
    void log.settled().then(() => {
      if (this.owner.life !== life || this.owner.logs[slot] !== log) return
      const isClean = closeClean(log)
      if (isClean) this.owner.journal?.forget(slot)
      this.#noteFlushed(this.#hosted(slot), log)
      this.#sim.world.note(() => `host   slot ${slot} is closed ${isClean ? 'clean' : 'unclean'}`)
      this.#fence(slot)
      if (!isClean) this.#sim.models[slot]?.crashed(false)
      this.openLater(slot, !isClean, !isClean)
    })
  }

  /** Out of service: who waits is told, commands under way are refused. */
  #fence(slot: number): void {
    const hosted = this.#hosted(slot)
    this.owner.logs[slot] = undefined
    hosted.generation = ++this.#generation
    hosted.state = 'opening'
    const waiting = hosted.waiting.splice(0)
    for (const { answer } of waiting) answer(Errors.NOT_LEADER_OR_FOLLOWER)
  }

  /** The owner thread died and the process lives: its logs are recovered and opened again. */
  ownerDied(): void {
    const { world, disk, models } = this.#sim
    world.life++
    disk.abandonSyncs()
    if (this.#stopped !== null) {
      this.#tellStopped(false)
      return
    }
    const before = this.owner
    this.#mayJournal = false
    before.refuseAll()
    this.owner = this.#newOwner()
    for (const { place } of this.hosted) {
      const { slot } = place
      const log = before.logs[slot]
      models[slot]?.crashed(false)
      // The offset table outlives the thread.
      const hosted = this.#hosted(slot)
      if (log !== undefined && !this.#isWeak(place)) this.#noteFlushed(hosted, log)
      // One that failed is not simply opened again: its tail is not believed.
      const isOffline = hosted.isFailed || log?.state === 'offline'
      this.#fence(slot)
      if (isOffline) {
        hosted.state = 'offline'
        this.#bringBackLater(slot)
      } else this.openLater(slot, true, false, 50)
    }
  }

  /** Flushes and closes all logs; `stopped` is told whether all closed clean, unless the process dies before. */
  stop(stopped: (isClean: boolean) => void): void {
    if (this.#stopped !== null) return
    this.#stopped = stopped
    void this.#closeAll().then(isClean => this.#tellStopped(isClean))
  }

  #tellStopped(isClean: boolean): void {
    if (!this.isAlive || this.#sim.disk.crashed) return
    const tell = this.#stopped
    this.#stopped = () => {}
    tell?.(isClean)
  }

  async #closeAll(): Promise<boolean> {
    this.#housekeeping?.stop()
    let isClean = this.hosted.every(({ state }) => state === 'online')
    const { logs } = this.owner
    for (const log of logs) {
      if (log === undefined) continue
      await log.settled()
      logs[log.slot] = undefined
      this.#hosted(log.slot).state = 'closed'
      isClean = closeClean(log) && isClean
    }
    await this.owner.journal?.settled()
    return isClean
  }

  /** No more answers leave this process. */
  die(): void {
    this.isAlive = false
    for (const connection of this.connections) connection.reset()
    this.connections.clear()
  }

  /** As of now, as the host notes them for the next start: what is not known any more stays as it was. */
  checkpoint(): (Noted & { place: Place })[] {
    return this.hosted.map(hosted => {
      const { state, place } = hosted
      const log = state === 'online' ? this.owner.logs[place.slot] : undefined
      if (log !== undefined) hosted.logStart = log.offsets.logStart
      if (log !== undefined && !this.#isWeak(place)) hosted.recoveryPoint = log.offsets.flushedEnd
      return { place, flushedEnd: hosted.recoveryPoint, logStart: hosted.logStart }
    })
  }

  produce(batch: SentBatch, acks: number, answer: (answer: ProduceAnswer) => void): void {
    const hosted = this.#hosted(batch.slot)
    if (this.#stopped !== null || hosted.state === 'opening' || hosted.state === 'closed') {
      answer({ error: Errors.NOT_LEADER_OR_FOLLOWER, baseOffset: -1 })
      return
    }
    if (hosted.state === 'offline') {
      answer({ error: Errors.KAFKA_STORAGE_ERROR, baseOffset: -1 })
      return
    }
    this.owner.submit({
      kind: 'append',
      slot: batch.slot,
      generation: hosted.generation,
      batch,
      bytes: Buffer.from(batch.bytes),
      apiVersion: 9,
      answer: appended => {
        const log = this.owner.logs[batch.slot]
        answerAppend(this.#sim, { waiting: hosted.waiting, log, batch, acks }, appended, answer)
      },
    })
  }

  fetch(
    slot: number,
    offset: number,
    maxBytes: number,
    answer: (answer: ReadAnswer, log: PartitionLog | null) => void,
  ): void {
    const { generation } = this.#hosted(slot)
    this.owner.submit({ kind: 'read', slot, generation, offset, maxBytes, answer })
  }

  deleteRecords(slot: number, beforeOffset: number): void {
    const log = this.owner.logs[slot]
    const model = this.#sim.models[slot]
    if (log === undefined || model === undefined) return
    model.step(log)
    log.retention.deleteRecords(beforeOffset, ({ error, logStartOffset }) => {
      if (this.#sim.disk.crashed) return
      this.#sim.world.note(() => {
        return `admin  slot ${slot}: records below ${beforeOffset} deleted: ${error}, ${logStartOffset}`
      })
      if (error !== Errors.NONE) return
      this.#sim.world.count('records deleted')
      this.#sim.marksBelow(slot, logStartOffset)
    })
  }

  submit(command: Command): void {
    this.owner.submit(command)
  }

  #hosted(slot: number): Hosted {
    return this.hosted[slot] as Hosted
  }
}

function closeClean(log: PartitionLog): boolean {
  try {
    return log.close({ clean: true })
  } catch {
    return false
  }
}

function notedOf(disk: SimDisk, place: Place): { recoveryPoint: number; logStart: number } {
  const { flushedEnd: recoveryPoint, logStart } = readNoted(disk, place)
  return { recoveryPoint, logStart }
}
