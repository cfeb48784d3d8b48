/**
 * The loop of an owner thread. One per thread; owns the thread's logs (by offset table slot).
 *
 * Appends of a round are staged one after another and written together: many small batches cost one system call. All
 * state of a round lives in reused arrays; nothing is allocated per command.
 */
import type { Clock } from '../src/contracts/clock.ts'
import type { OwnerHost } from '../src/contracts/control.ts'
import type { Disk } from '../src/contracts/disk.ts'
import type { OwnerBoot } from '../src/contracts/owner-boot.ts'
import type { TaskRunner } from '../src/contracts/tasks.ts'
import { Metric, type ThreadMetrics } from '../src/metrics.ts'
import { Errors } from '../src/protocol/errors.ts'
import {
  type Command,
  emptyCommand,
  emptyReply,
  Op,
  type Reply,
  ReplyKind,
  readCommand,
} from '../src/ring/commands.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import type { Pulse } from '../src/ring/pulse.ts'
import { ColdReads } from './cold-reads.ts'
import { DiskSpace } from './disk-space.ts'
import type { OwnerJournal } from './journal/owner-journal.ts'
import { type Link, Links } from './links.ts'
import type { PartitionLog } from './log/log.ts'
import { type BatchLocation, newAppendResult, newReadResult } from './log/results.ts'
import { ownerJournal } from './owner-journaling.ts'
import { Publisher } from './publisher.ts'

/** Commands of one round, and bytes of its appends: bounds the time before replies leave. */
const roundCommandsMax = 512
const roundBytesMax = 4 * 1024 * 1024

/** A round ends after so long, too, where a topic's configs demand that batches are decompressed. */
const roundMs = 20
/** Commands between two looks at the clock. */
const clockMask = 3

/**
 * After work an owner looks for more for this long before it sleeps: about what waking a sleeping thread costs both
 * sides, so it loses at most that once per pause, and under load nobody pays for wake-ups.
 */
const spinMs = 0.02

export interface LogEnv {
  readonly disk: Disk
  readonly clock: Clock
  readonly tasks: TaskRunner
  /** decompressed.max.bytes; without it its default. */
  readonly decompressedBytesMax?: number
}

/** An append that was staged and waits for the commit of its round. */
interface StagedAppend {
  link: Link
  log: PartitionLog
  readonly reply: Reply
}

export class OwnerLoop {
  readonly env: LogEnv
  readonly metrics: ThreadMetrics
  readonly logs: (PartitionLog | undefined)[] = []
  /** Undefined when it is switched off. */
  readonly journal: OwnerJournal | undefined
  /** What logs report to: see `Publisher`. */
  readonly onAdvance = (log: PartitionLog): void => this.#publisher.onAdvance(log)
  readonly onFailure = (log: PartitionLog, error: Error): void =>
    this.#publisher.onFailure(log, error)
  readonly #links: Links
  readonly #publisher: Publisher
  readonly #space: DiskSpace
  readonly #pulse: Pulse
  readonly #doorbell: Doorbell
  readonly #command: Command = emptyCommand()
  readonly #notice: Reply = emptyReply()
  readonly #appendResult = newAppendResult()
  readonly #readResult = newReadResult()
  readonly #staged: StagedAppend[] = []
  #stagedCount = 0
  readonly #touched: PartitionLog[] = []
  readonly #coldReads = new ColdReads(
    (link, command) => {
      this.#answer(link, command, this.#known(command))
      this.#links.ring()
    },
    undefined,
    log => this.logs[log.slot] === log,
  )
  #asleep = false
  #turnScheduled = false

  constructor(boot: OwnerBoot, env: LogEnv, metrics: ThreadMetrics, host: OwnerHost, pulse: Pulse) {
    this.#pulse = pulse
    const { decompressedBytesMax } = boot.settings
    this.env = { ...env, decompressedBytesMax }
    this.metrics = metrics
    this.journal = ownerJournal(boot, env, metrics, this.logs)
    this.#doorbell = new Doorbell(boot.doorbells, boot.doorbellIndex)
    this.#links = new Links(boot, metrics)
    this.#publisher = new Publisher({
      boot,
      links: this.#links,
      clock: env.clock,
      metrics,
      host,
      isRefused: log => this.#isRefused(log),
    })
    this.#space = new DiskSpace({
      ...env,
      directory: boot.settings.dataDirectory,
      reserveBytes: boot.settings.diskReserveBytes,
      onChange: (isFull, freeBytes) => {
        for (const log of this.logs) if (log !== undefined) this.onAdvance(log)
        void host.diskFull(isFull, freeBytes)
      },
      onRoom: () => {
        for (const log of this.logs) log?.resume()
      },
    })
  }

  /** The disk is so full that only the broker itself may append. */
  #isRefused(log: PartitionLog): boolean {
    return this.#space.isFull && !log.config.isInternal
  }

  /** No log takes records any more. */
  takeOffline(reason: string): void {
    this.#publisher.isQuiet = true
    for (const log of this.logs) log?.roundFailed(new Error(reason))
    this.#publisher.isQuiet = false
  }

  start(): void {
    this.#turn()
  }

  /** Puts an opened log under its slot and tells all threads where it stands. */
  adopt(log: PartitionLog, name: string): void {
    this.logs[log.slot] = log
    this.#publisher.adopt(log, name)
  }

  release(slot: number): void {
    this.logs[slot] = undefined
    this.#publisher.release(slot)
  }

  readonly #woken = (): void => {
    this.#asleep = false
    if (!this.#turnScheduled) this.#turn()
  }

  readonly #turn = (): void => {
    this.#turnScheduled = false
    const startedMs = performance.now()
    let commands = 0
    this.#pulse.beat()
    this.#pulse.isInRound = true
    this.#publisher.isInRound = true
    for (const link of this.#links.all) commands += this.#round(link)
    if (this.#stagedCount > 0) this.#commit()
    this.#publisher.isInRound = false
    this.#pulse.isInRound = false
    if (commands > 0) {
      this.#links.ring()
      this.metrics.add(Metric.busySeconds, (performance.now() - startedMs) / 1000)
    }
    if (commands > 0 && this.#spin()) {
      this.#turnScheduled = true
      setImmediate(this.#turn)
      return
    }
    this.#doorbell.prepareSleep()
    if (this.#links.hasCommands()) {
      this.#doorbell.cancelSleep()
      this.#turnScheduled = true
      setImmediate(this.#turn)
      return
    }
    if (this.#asleep) return
    this.#asleep = true
    void this.#doorbell.wait().then(this.#woken)
  }

  #spin(): boolean {
    const untilMs = performance.now() + spinMs
    do {
      if (this.#links.hasCommands()) return true
    } while (performance.now() < untilMs)
    return false
  }

  /** Takes the commands of one dispatcher, up to the bounds of a round. */
  #round(link: Link): number {
    const { commands } = link
    const command = this.#command
    let count = 0
    let bytes = 0
    const untilMs = performance.now() + roundMs
    while (count < roundCommandsMax && bytes < roundBytesMax) {
      if ((count & clockMask) === clockMask && performance.now() >= untilMs) break
      const at = commands.peek()
      if (at === -1) break
      readCommand(commands.words, at, command)
      commands.next()
      count++
      if (command.op === Op.append) bytes += command.length
      this.#execute(link, command)
    }
    if (count > 0) commands.release()
    return count
  }

  #execute(link: Link, command: Command): void {
    const log = this.#known(command)
    if (command.op === Op.append) {
      const entry = this.#nextStaged(link, command)
      if (log === null) entry.reply.errorCode = Errors.NOT_LEADER_OR_FOLLOWER
      else if (this.#isRefused(log)) entry.reply.errorCode = Errors.KAFKA_STORAGE_ERROR
      else this.#stage(entry, log, command)
      return
    }
    if (log !== null && this.#coldReads.putAside(link, log, command)) {
      if (command.op === Op.read) this.metrics.add(Metric.coldReads, 1)
      return
    }
    this.#answer(link, command, log)
  }

  /** The log a command is for, unless that was closed or opened anew since. */
  #known({ partitionSlot, partitionGeneration }: Command): PartitionLog | null {
    const log = this.logs[partitionSlot]
    return log?.generation === partitionGeneration ? log : null
  }

  /** Reads or finds, and replies. */
  #answer(link: Link, command: Command, log: PartitionLog | null): void {
    const reply = this.#notice
    this.#address(reply, command, command.op === Op.read ? ReplyKind.read : ReplyKind.found)
    if (log === null) reply.errorCode = Errors.NOT_LEADER_OR_FOLLOWER
    else if (command.op === Op.read) this.#read(link, log, command, reply)
    else this.#find(link, log, command, reply)
    this.#links.reply(link, reply)
  }

  /** Fills the fields that tell the dispatcher which request a reply is for. */
  #address(reply: Reply, command: Command, kind: number): void {
    reply.kind = kind
    reply.partitionSlot = command.partitionSlot
    reply.partitionGeneration = command.partitionGeneration
    reply.requestRef = command.requestRef
    reply.requestGeneration = command.requestGeneration
    reply.regionGeneration = command.regionGeneration
    reply.errorCode = Errors.NONE
    reply.baseOffset = -1
    reply.endOffset = -1
    reply.timestampMs = -1
    reply.start = 0
    reply.length = 0
    reply.neededBytes = 0
  }

  #nextStaged(link: Link, command: Command): StagedAppend {
    const index = this.#stagedCount++
    let entry = this.#staged[index]
    if (entry === undefined) {
      entry = { link, log: null as unknown as PartitionLog, reply: emptyReply() }
      this.#staged[index] = entry
    }
    entry.link = link
    this.#address(entry.reply, command, ReplyKind.appended)
    return entry
  }

  #stage(entry: StagedAppend, log: PartitionLog, command: Command): void {
    this.#space.appending(command.length)
    const start = command.arenaOffset
    const batch = entry.link.requests.subarray(start, start + command.length)
    const result = this.#appendResult
    log.stage(batch, command.apiVersion, result)
    entry.log = log
    entry.reply.errorCode = result.error
    if (result.error !== Errors.NONE) {
      entry.reply.start = result.badRecord
      entry.reply.timestampMs = result.badTimestampMs
      return
    }
    entry.reply.baseOffset = result.baseOffset
    entry.reply.endOffset = result.lastOffset + 1
    entry.reply.timestampMs = result.logAppendTimeMs
    if (result.duplicate) {
      this.metrics.add(Metric.duplicateBatches, 1)
      return
    }
    if (this.#touched.at(-1) !== log && !this.#touched.includes(log)) this.#touched.push(log)
  }

  /** Writes what the round staged and answers it. */
  #commit(): void {
    const touched = this.#touched
    for (let i = 0; i < touched.length; i++) {
      const log = touched[i] as PartitionLog
      const segmentCount = log.segments.length
      const errorCode = log.commit()
      this.metrics.add(Metric.segmentsRolled, log.segments.length - segmentCount)
      if (errorCode === Errors.NONE) continue
      if (log.state === 'read-only') {
        this.metrics.add(Metric.diskFull, 1)
        this.#space.exhausted()
      }
      this.#failStaged(log, errorCode)
    }
    this.journal?.turnEnds(touched)
    touched.length = 0
    let appended = 0
    for (let i = 0; i < this.#stagedCount; i++) {
      const { link, reply } = this.#staged[i] as StagedAppend
      if (reply.errorCode === Errors.NONE) appended++
      this.#links.reply(link, reply)
    }
    this.metrics.add(Metric.appends, appended)
    this.metrics.add(Metric.appendErrors, this.#stagedCount - appended)
    this.#stagedCount = 0
  }

  #failStaged(log: PartitionLog, errorCode: number): void {
    for (let i = 0; i < this.#stagedCount; i++) {
      const entry = this.#staged[i] as StagedAppend
      if (entry.log === log && entry.reply.errorCode === Errors.NONE) {
        entry.reply.errorCode = errorCode
      }
    }
  }

  #read(link: Link, log: PartitionLog, command: Command, reply: Reply): void {
    const start = command.arenaOffset
    const region = link.responses.subarray(start, start + command.maxBytes)
    const result = this.#readResult
    const startedMs = performance.now()
    log.read(command.offset, command.maxBytes, region, result)
    this.#coldReads.took(log, performance.now() - startedMs)
    reply.errorCode = result.error
    reply.start = result.start
    reply.length = result.length
    reply.neededBytes = result.neededBytes
    reply.endOffset = result.nextOffset
    this.metrics.add(Metric.reads, 1)
    this.metrics.add(Metric.readBytes, result.start + result.length)
  }

  #find(link: Link, log: PartitionLog, command: Command, reply: Reply): void {
    try {
      const location = locate(log, command)
      if (location === null) return
      reply.baseOffset = location.baseOffset
      if (location.bytes > command.maxBytes) {
        reply.neededBytes = location.bytes
        return
      }
      const start = command.arenaOffset
      const into = link.responses.subarray(start, start + location.bytes)
      reply.length = log.readAt(location, into)
    } catch {
      // The disk's failure to read is this request's misfortune, not the thread's.
      reply.errorCode = Errors.KAFKA_STORAGE_ERROR
    }
  }
}

function locate(log: PartitionLog, { op, offset }: Command): BatchLocation | null {
  if (op === Op.findTime || op === Op.findTimeBehindStart) {
    return log.findByTime(offset, log.offsets.logStart, op === Op.findTimeBehindStart)
  }
  return log.findMaxTimestamp(op === Op.findMaxTimeBehindStart)
}
