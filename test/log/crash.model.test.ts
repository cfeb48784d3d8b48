/**
 * A scripted life of a log, ended at every single operation of its disk: the process is killed or the power goes, the
 * log is recovered, and what it then holds is compared with what was promised (RELIABILITY P1, P3, P5, P6, P9; rows
 * A1-A8, A20, A22 of the fault matrix).
 */
import { describe, expect, test } from 'vitest'
import type { FlushPolicy } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CrashError, FaultDisk, seeded } from '../support/fault-disk.ts'
import { LogHarness, makeBatch, stored } from './log-kit.ts'

interface Sent {
  readonly baseOffset: number
  readonly records: number
  readonly bytes: Buffer
  readonly sequence: number
}

const producerId = 42

class Life {
  readonly kit: LogHarness
  /** Everything that was given an offset in a round that may have reached the file, in order. */
  sent: Sent[] = []
  /** End of what was answered under acks=1, and of what was readable (acks=all). */
  written = 0
  readable = 0
  nextSequence = 0
  mark = 0
  isClosedClean = false

  constructor(flushPolicy: FlushPolicy, disk: FaultDisk) {
    this.kit = new LogHarness({ flushPolicy, segmentBytesMax: 900, indexIntervalBytes: 200 }, disk)
  }

  observe(): void {
    this.readable = Math.max(this.readable, this.kit.log.offsets.highWatermark)
  }

  open(recover: boolean): void {
    this.isClosedClean = false
    this.kit.open({ recover })
    this.observe()
  }

  round(...sizes: number[]): void {
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
  run(crashAt: number): boolean {
    this.kit.disk.crashAt = this.kit.disk.operations + crashAt
    try {
      this.script()
    } catch (error) {
      if (!(error instanceof CrashError)) throw error
    }
    return this.kit.disk.crashed
  }

  /** The recovered log holds a prefix of what was sent, bytes and offsets, and at least [0, end). */
  checkRecovered(end: number): void {
    const { logStart, logEnd, highWatermark } = this.kit.log.offsets
    // Where nothing was promised, the name of the first segment may be lost and later ones not.
    if (end > 0) expect(logStart).toBe(0)
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
function crashOnce(policy: FlushPolicy, crashAt: number, cut: (() => number) | null): boolean {
  const life = new Life(policy, new FaultDisk())
  const hasCrashed = life.run(crashAt)
  const all = life.sent
  if (cut === null) life.kit.disk.kill()
  else life.kit.disk.powerCut(cut)
  life.open(!life.isClosedClean)
  const promised = policy === 'os' ? 0 : life.readable
  const flushedBefore = cut === null ? life.written : promised
  life.checkRecovered(flushedBefore)
  // A producer sends again what was not answered: at most five, and none that was.
  const isWhole = life.kit.log.offsets.logStart === 0
  if (isWhole && all.length - life.sent.length <= 5) life.resend(all)
  const end = life.kit.log.offsets.logEnd
  // The power goes again right after: what was served must stay.
  life.kit.disk.powerCut(seeded(crashAt))
  life.open(true)
  life.checkRecovered(policy === 'os' ? 0 : end)
  return hasCrashed
}

describe.each<FlushPolicy>(['group-commit', 'os'])('under %s', policy => {
  test('killed at any operation: nothing that was answered is lost', () => {
    let crashAt = 1
    while (crashOnce(policy, crashAt, null)) crashAt++
    expect(crashAt).toBeGreaterThan(60)
  })

  test('power cut at any operation: nothing that was readable is lost, changed or doubled', () => {
    for (const seed of [1, 2, 3]) {
      let crashAt = 1
      while (crashOnce(policy, crashAt, seeded(seed * 1_000 + crashAt))) crashAt++
      expect(crashAt).toBeGreaterThan(60)
    }
  })
})

test('recovery that crashes is recovered, up to five times', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = seeded(seed)
    const life = new Life('group-commit', new FaultDisk())
    life.run(20 + Math.floor(random() * 130))
    const { readable } = life
    for (let nested = 0; nested < 5; nested++) {
      life.kit.disk.powerCut(random)
      life.kit.disk.crashAt = life.kit.disk.operations + 1 + Math.floor(random() * 40)
      try {
        life.kit.open({ recover: true })
      } catch (error) {
        if (!(error instanceof CrashError)) throw error
      }
    }
    life.kit.disk.powerCut(random)
    life.open(true)
    life.checkRecovered(readable)
  }
})

test('a failed sync: offline, and what recovery then serves survives a power cut', () => {
  let failing = 1
  for (; ; failing++) {
    const life = new Life('group-commit', new FaultDisk())
    let syncs = 0
    life.kit.disk.onOperation = ({ kind }) =>
      kind === 'sync' && ++syncs === failing ? { code: 'EIO' } : null
    life.youth()
    if (syncs < failing) break
    expect(life.kit.failures.length, `sync ${failing}`).toBe(1)
    expect(life.kit.log.state).toBe('offline')
    const { readable } = life
    // The disk lies from here on: the page cache has the bytes, syncs succeed, the platter has them not.
    life.kit.disk.kill()
    life.open(true)
    life.checkRecovered(life.written)
    const end = life.kit.log.offsets.logEnd
    expect(end).toBeGreaterThanOrEqual(readable)
    life.kit.disk.powerCut(seeded(failing))
    life.open(true)
    life.checkRecovered(end)
  }
  expect(failing).toBeGreaterThan(5)
})
