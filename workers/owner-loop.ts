/**
 * The loop of an owner thread. One per thread; owns the thread's logs (by offset table slot).
 *
 * Appends of a round are staged one after another and written together: many small batches cost one system call. All
 * state of a round lives in reused arrays; nothing is allocated per command.
 */
import type { Clock } from '../src/contracts/clock.ts'
import type { Disk } from '../src/contracts/disk.ts'
import { commandSlots, type OwnerBoot, replySlots } from '../src/contracts/owner-boot.ts'
import type { TaskRunner } from '../src/contracts/tasks.ts'
import { Metric, type ThreadMetrics } from '../src/metrics.ts'
import { OffsetTable, PartitionState } from '../src/partitions/offset-table.ts'
import { Errors } from '../src/protocol/errors.ts'
import {
  type Command,
  emptyCommand,
  emptyReply,
  Op,
  type Reply,
  ReplyKind,
  readCommand,
  writeReply,
} from '../src/ring/commands.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { ensure } from '../src/ring/ensure.ts'
import { Ring } from '../src/ring/ring.ts'
import type { PartitionLog } from './log/log.ts'
import { newAppendResult, newReadResult } from './log/results.ts'

/** Commands of one round, and bytes of its appends: bounds the time before replies leave. */
const roundCommandsMax = 512
const roundBytesMax = 4 * 1024 * 1024

/**
 * After work an owner looks for more for this long before it sleeps: about what waking a sleeping thread costs both
 * sides, so it loses at most that once per pause, and under load nobody pays for wake-ups.
 */
const spinMs = 0.02

export interface LogEnv {
  readonly disk: Disk
  readonly clock: Clock
  readonly tasks: TaskRunner
}

/** One dispatcher as this owner sees it. */
interface Link {
  readonly index: number
  readonly commands: Ring
  readonly replies: Ring
  readonly doorbell: Doorbell
  readonly requests: Buffer
  readonly responses: Buffer
  unpublished: number
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
  /** `topic-partition` by slot, for log lines. */
  readonly #names: string[] = []
  readonly #offsets: OffsetTable
  readonly #links: Link[]
  readonly #doorbell: Doorbell
  readonly #command: Command = emptyCommand()
  readonly #notice: Reply = emptyReply()
  readonly #appendResult = newAppendResult()
  readonly #readResult = newReadResult()
  readonly #staged: StagedAppend[] = []
  #stagedCount = 0
  readonly #touched: PartitionLog[] = []
  /** High watermark last published by slot: a watch is only tested when it moved. */
  readonly #published: number[] = []
  #inRound = false
  #asleep = false
  #turnScheduled = false

  constructor(boot: OwnerBoot, env: LogEnv, metrics: ThreadMetrics) {
    this.env = env
    this.metrics = metrics
    this.#offsets = new OffsetTable(boot.offsetTable, boot.partitionsMax, boot.links.length)
    this.#doorbell = new Doorbell(boot.doorbells, boot.doorbellIndex)
    this.#links = boot.links.map((memory, index) => ({
      index,
      commands: new Ring(memory.commandRing, commandSlots),
      replies: new Ring(memory.replyRing, replySlots(boot.partitionsMax)),
      doorbell: new Doorbell(memory.doorbells, memory.doorbellIndex),
      requests: Buffer.from(memory.requestArena),
      responses: Buffer.from(memory.responseArena),
      unpublished: 0,
    }))
  }

  start(): void {
    this.#turn()
  }

  /** Puts an opened log under its slot and tells all threads where it stands. */
  adopt(log: PartitionLog, name: string): void {
    this.logs[log.slot] = log
    this.#names[log.slot] = name
    this.#published[log.slot] = -1
    this.publish(log)
    this.#ringDispatchers()
  }

  release(slot: number): void {
    this.logs[slot] = undefined
  }

  /** Stores the log's offsets for all threads; wakes dispatchers that watch the partition when it advanced. */
  publish(log: PartitionLog): void {
    const { logStart, highWatermark, logEnd } = log.offsets
    const state = tableState(log)
    this.#offsets.publish(log.slot, log.generation, state, logStart, highWatermark, logEnd)
    if (this.#published[log.slot] === highWatermark) return
    this.#published[log.slot] = highWatermark
    this.#notify(log, ReplyKind.advanced, Errors.NONE)
  }

  /** Offsets or state of a log moved: by its commit in a round, or by a sync that finished between rounds. */
  readonly onAdvance = (log: PartitionLog): void => {
    this.publish(log)
    if (!this.#inRound) this.#ringDispatchers()
  }

  readonly onFailure = (log: PartitionLog, error: Error): void => {
    this.metrics.add(Metric.flushFailures, 1)
    this.#logError(log, error)
    this.publish(log)
    this.#notify(log, ReplyKind.failed, Errors.KAFKA_STORAGE_ERROR)
    if (!this.#inRound) this.#ringDispatchers()
  }

  /** Worker threads share the process's stderr: one write per line. */
  #logError(log: PartitionLog, error: Error): void {
    const line = {
      level: 'error',
      time: new Date(this.env.clock.wallMs()).toISOString(),
      partition: this.#names[log.slot],
      msg: `partition is offline: ${error.message}`,
    }
    process.stderr.write(`${JSON.stringify(line)}\n`)
  }

  #notify(log: PartitionLog, kind: number, errorCode: number): void {
    for (const link of this.#links) {
      if (!this.#offsets.takeWatch(log.slot, link.index)) continue
      const notice = this.#notice
      notice.kind = kind
      notice.partitionSlot = log.slot
      notice.partitionGeneration = log.generation
      notice.errorCode = errorCode
      notice.endOffset = log.offsets.highWatermark
      this.#reply(link, notice)
    }
  }

  readonly #woken = (): void => {
    this.#asleep = false
    if (!this.#turnScheduled) this.#turn()
  }

  readonly #turn = (): void => {
    this.#turnScheduled = false
    const startedMs = performance.now()
    let commands = 0
    this.#inRound = true
    for (const link of this.#links) commands += this.#round(link)
    if (this.#stagedCount > 0) this.#commit()
    this.#inRound = false
    if (commands > 0) {
      this.#ringDispatchers()
      this.metrics.add(Metric.busySeconds, (performance.now() - startedMs) / 1000)
    }
    if (commands > 0 && this.#spin()) {
      this.#turnScheduled = true
      setImmediate(this.#turn)
      return
    }
    this.#doorbell.prepareSleep()
    if (this.#links.some(hasCommands)) {
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
      if (this.#links.some(hasCommands)) return true
    } while (performance.now() < untilMs)
    return false
  }

  /** Takes the commands of one dispatcher, up to the bounds of a round. */
  #round(link: Link): number {
    const { commands } = link
    const command = this.#command
    let count = 0
    let bytes = 0
    while (count < roundCommandsMax && bytes < roundBytesMax) {
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
    const log = this.logs[command.partitionSlot]
    const known = log !== undefined && log.generation === command.partitionGeneration
    if (command.op === Op.append) {
      const entry = this.#nextStaged(link, command)
      if (known) this.#stage(entry, log, command)
      else entry.reply.errorCode = Errors.NOT_LEADER_OR_FOLLOWER
      return
    }
    const reply = this.#notice
    this.#address(reply, command, command.op === Op.read ? ReplyKind.read : ReplyKind.found)
    if (!known) reply.errorCode = Errors.NOT_LEADER_OR_FOLLOWER
    else if (command.op === Op.read) this.#read(link, log, command, reply)
    else this.#find(link, log, command, reply)
    this.#reply(link, reply)
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
    const start = command.arenaOffset
    const batch = entry.link.requests.subarray(start, start + command.length)
    const result = this.#appendResult
    log.stage(batch, command.apiVersion, result)
    entry.log = log
    entry.reply.errorCode = result.error
    if (result.error !== Errors.NONE) return
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
      if (log.state === 'read-only') this.metrics.add(Metric.diskFull, 1)
      this.#failStaged(log, errorCode)
    }
    touched.length = 0
    let appended = 0
    for (let i = 0; i < this.#stagedCount; i++) {
      const { link, reply } = this.#staged[i] as StagedAppend
      if (reply.errorCode === Errors.NONE) appended++
      this.#reply(link, reply)
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
    log.read(command.offset, command.maxBytes, region, result)
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
      const location =
        command.op === Op.findTime ? log.findByTime(command.offset) : log.findMaxTimestamp()
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

  #reply(link: Link, reply: Reply): void {
    const at = link.replies.claim()
    ensure(at !== -1, 'a reply ring has room for every command and every notice')
    writeReply(link.replies.words, at, reply)
    link.unpublished++
  }

  #ringDispatchers(): void {
    for (const link of this.#links) {
      if (link.unpublished === 0) continue
      link.unpublished = 0
      link.replies.publish()
      if (link.doorbell.ring()) this.metrics.add(Metric.doorbells, 1)
    }
  }
}

function hasCommands(link: Link): boolean {
  return link.commands.peek() !== -1
}

function tableState(log: PartitionLog): number {
  if (log.state === 'online') return PartitionState.online
  return log.state === 'offline' ? PartitionState.offline : PartitionState.readOnly
}
