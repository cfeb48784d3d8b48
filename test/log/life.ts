/**
 * A log that lives a scripted life on a fault disk and remembers what was promised, so that it can be ended anywhere
 * and what is found afterwards be judged (RELIABILITY P1, P3, P5, P6, P9).
 */
import { expect } from 'vitest'
import type { FlushPolicy, LogConfig } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CrashError, FaultDisk, seeded } from '../support/fault-disk.ts'
import { directory, LogHarness, makeBatch, type OpenOptions, stored } from './log-kit.ts'

export interface Sent {
  readonly baseOffset: number
  readonly records: number
  readonly bytes: Buffer
  readonly sequence: number
}

const producerId = 42

export class Life {
  readonly kit: LogHarness
  /** Everything that was given an offset in a round that may have reached the file, in order. */
  sent: Sent[] = []
  /** End of what was answered under acks=1, and of what was readable (acks=all). */
  written = 0
  readable = 0
  nextSequence = 0
  mark = 0
  isClosedClean = false

  constructor(flushPolicy: FlushPolicy, config: Partial<LogConfig> = {}) {
    const small = { segmentBytesMax: 900, indexIntervalBytes: 200 }
    this.kit = new LogHarness({ flushPolicy, ...small, ...config }, new FaultDisk())
  }

  observe(): void {
    this.readable = Math.max(this.readable, this.kit.log.offsets.highWatermark)
  }

  open(recover: boolean, more: OpenOptions = {}): void {
    this.isClosedClean = false
    this.kit.open({ recover, ...more })
    this.observe()
  }

  round(...sizes: number[]): void {
    const before = { sent: this.sent.length, nextSequence: this.nextSequence }
    for (const records of sizes) {
      const sequence = this.nextSequence
      const batch = makeBatch({
        records,
        mark: this.mark++,
        producerId,
        producerEpoch: 0,
        baseSequence: sequence,
      })
      const original = Buffer.from(batch)
      const { error, baseOffset } = this.kit.stage(batch)
      if (error !== Errors.NONE) continue
      this.sent.push({ baseOffset, records, bytes: stored(original, baseOffset), sequence })
      this.nextSequence += records
    }
    const error = this.kit.log.commit()
    if (this.kit.disk.crashed) throw new CrashError('in commit')
    if (error === Errors.NONE) this.written = this.kit.log.offsets.logEnd
    else {
      this.sent.length = before.sent
      this.nextSequence = before.nextSequence
    }
    this.observe()
  }

  sync(count: number): void {
    this.kit.disk.completeSyncs(count)
    if (this.kit.disk.crashed) throw new CrashError('in sync')
    this.observe()
  }

  close(): void {
    while (this.kit.disk.syncsInFlight > 0) this.sync(1)
    this.isClosedClean = this.kit.log.close({ clean: true })
    if (this.kit.disk.crashed) this.isClosedClean = false
  }

  /**
   * Plays a script, word by word: `a23` a round of two batches with 2 and 3 records, `s4` four syncs end, `t` six
   * seconds pass, `c` a clean stop and start, `k` kill -9 and a start, `o` the owner thread dies alone, `f` the next
   * sync of records fails and the log is brought back, `n` the disk is full for one write, `i` all indexes are lost.
   */
  play(script: string): void {
    this.open(false)
    for (const word of script.split(' ')) this.#act(word[0], word.slice(1))
  }

  #act(verb: string, rest: string): void {
    const { disk } = this.kit
    if (verb === 'a') this.round(...rest.split('').map(Number))
    else if (verb === 's') this.sync(Number(rest))
    else if (verb === 't') this.kit.clock.advance(6_000)
    else if (verb === 'c') {
      this.close()
      this.open(!this.isClosedClean)
    } else if (verb === 'k') {
      disk.endProcess()
      this.open(true)
      this.checkRecovered(this.written)
    } else if (verb === 'o') this.#ownerDies()
    else if (verb === 'f') this.#syncFails()
    else if (verb === 'n') this.#diskFills()
    else if (verb === 'i') this.#loseIndexes()
    else throw new Error(`no such word: ${verb}`)
  }

  #ownerDies(): void {
    const { recoveryPoint: flushedOffset } = this.kit.log.offsets
    this.kit.disk.endProcess()
    this.open(true, { copyForward: false, flushedOffset })
    expect(this.kit.log.offsets.logEnd).toBeGreaterThanOrEqual(this.written)
    expect(this.kit.log.offsets.highWatermark).toBeGreaterThanOrEqual(this.readable)
  }

  #syncFails(): void {
    let isDue = true
    this.kit.disk.onOperation = ({ kind, path }) => {
      if (!isDue || kind !== 'sync' || !path.endsWith('.log')) return null
      isDue = false
      return { code: 'EIO' }
    }
    this.sync(9)
    if (this.kit.log.state !== 'offline') return
    const failed = this.kit.log
    const { recoveryPoint: flushedOffset } = failed.offsets
    this.open(true, { copyForward: true, flushedOffset })
    failed.close({ clean: false })
    this.checkRecovered(this.written)
  }

  #diskFills(): void {
    let isDue = true
    this.kit.disk.onOperation = ({ kind, path }) => {
      if (!isDue || kind !== 'write' || !path.endsWith('.log')) return null
      isDue = false
      return { code: 'ENOSPC' }
    }
    this.round(2, 2)
  }

  #loseIndexes(): void {
    for (const name of this.kit.names()) {
      if (name.endsWith('index')) this.kit.disk.unlink(`${directory}/${name}`)
    }
  }

  script(): void {
    this.youth()
    this.close()
    this.open(!this.isClosedClean)
    this.round(3, 3, 3)
    this.sync(9)
    this.round(2)
  }

  youth(): void {
    this.open(false)
    this.round(1)
    this.round(2, 3)
    this.sync(1)
    this.round(1, 1, 1)
    this.sync(4)
    this.kit.clock.advance(6_000)
    this.round(4, 4)
    this.sync(2)
    this.round(2)
    this.sync(9)
    this.kit.clock.advance(6_000)
    this.round(5)
    this.round(1)
    this.sync(3)
  }

  /** Lives until the crash; false when the script ended first. */
  run(crashAt: number, script?: string): boolean {
    this.kit.disk.crashAt = this.kit.disk.operations + crashAt
    try {
      if (script === undefined) this.script()
      else this.play(script)
    } catch (error) {
      if (!(error instanceof CrashError)) throw error
    }
    return this.kit.disk.crashed
  }

  /** The recovered log holds a prefix of what was sent, bytes and offsets, and at least [0, end). */
  checkRecovered(end: number, start = 0): void {
    try {
      this.#checkRecovered(end, start)
    } catch (error) {
      // The world may end in the middle of a look at it.
      if (this.kit.disk.crashed) throw new CrashError('while checking')
      throw error
    }
  }

  #checkRecovered(end: number, start: number): void {
    const { logStart, logEnd, highWatermark } = this.kit.log.offsets
    // Where nothing was promised, the name of the first segment may be lost and later ones not.
    if (end > 0) expect(logStart).toBe(start)
    expect(logEnd).toBeGreaterThanOrEqual(end)
    expect(highWatermark).toBe(logEnd)
    const first = this.sent.findIndex(({ baseOffset }) => baseOffset === logStart)
    const batches = this.kit.readAll()
    for (const [index, batch] of batches.entries()) {
      expect(batch.equals(this.sent[first + index].bytes), `batch ${index}`).toBe(true)
    }
    const last = this.sent[first + batches.length - 1]
    expect(logEnd).toBe(batches.length === 0 ? logStart : last.baseOffset + last.records)
    this.sent = this.sent.slice(0, batches.length === 0 ? 0 : first + batches.length)
  }

  /** What the producer still has in flight comes again: each batch is in the log exactly once. */
  resend(all: readonly Sent[]): void {
    const present = this.sent.length
    for (const [index, { records, sequence, baseOffset, bytes }] of [...all.entries()].slice(-5)) {
      const again = Buffer.from(bytes)
      again.writeBigInt64BE(0n, 0)
      const result = this.kit.stage(again)
      expect(result).toMatchObject({ error: Errors.NONE, baseOffset, duplicate: index < present })
      expect(result.lastOffset).toBe(baseOffset + records - 1)
      if (index >= present) this.sent.push({ baseOffset, records, sequence, bytes })
    }
    expect(this.kit.log.commit()).toBe(Errors.NONE)
    this.kit.settle()
  }
}

/** Runs one life to its end; false when there was nothing left to crash. */
export function crashOnce(
  policy: FlushPolicy,
  crashAt: number,
  cut: (() => number) | null,
  script?: string,
  config: Partial<LogConfig> = {},
): boolean {
  const life = new Life(policy, config)
  const hasCrashed = life.run(crashAt, script)
  const all = life.sent
  if (cut === null) life.kit.disk.kill()
  else life.kit.disk.powerCut(cut)
  const promised = policy === 'os' ? 0 : life.readable
  life.open(!life.isClosedClean)
  const flushedBefore = cut === null ? life.written : promised
  life.checkRecovered(flushedBefore)
  // A producer sends again what was not answered: at most five, and none that was.
  const isWhole = life.kit.log.offsets.logStart === 0
  if (isWhole && all.length - life.sent.length <= 5) life.resend(all)
  const { logStart, highWatermark: end } = life.kit.log.offsets
  // The power goes again right after: what was served must stay.
  life.kit.disk.powerCut(seeded(crashAt))
  life.open(true)
  life.checkRecovered(policy === 'os' ? 0 : end, logStart)
  return hasCrashed
}
