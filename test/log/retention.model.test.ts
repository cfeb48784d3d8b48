/**
 * A scripted life of a log that loses its oldest records all the time, by size, by age and by DeleteRecords, ended at
 * every single operation of its disk, and seeded lives that end anywhere (RELIABILITY P1, P3, P6, P13; rows A1, A6, A7,
 * A20, A21).
 */
import { describe, expect, test } from 'vitest'
import type { FlushPolicy } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { baseOffsetAt, lastOffsetAt } from '../../src/protocol/record-batch.ts'
import { CrashError, FaultDisk, seeded } from '../support/fault-disk.ts'
import { LogHarness, makeBatch, stored } from './log-kit.ts'

const HOUR = 3_600_000

interface Sent {
  readonly records: number
  readonly bytes: Buffer
}

class Life {
  readonly kit: LogHarness
  /** By base offset. */
  sent = new Map<number, Sent>()
  /** Log start and high watermark as clients have seen them, and what was answered under acks=1. */
  start = 0
  readable = 0
  written = 0
  /** Log start and end of the log if everything asked for is done. */
  startMax = 0
  mark = 0
  isClosedClean = true

  constructor(flushPolicy: FlushPolicy = 'group-commit') {
    this.kit = new LogHarness({
      flushPolicy,
      segmentBytesMax: 300,
      indexIntervalBytes: 100,
      retentionBytes: 900,
      retentionMs: HOUR,
    })
  }

  observe(): void {
    if (this.kit.disk.crashed) throw new CrashError('the world ends')
    const { logStart, highWatermark, recoveryPoint } = this.kit.log.offsets
    expect(logStart, 'log start as clients see it').toBeGreaterThanOrEqual(this.start)
    expect(highWatermark).toBeGreaterThanOrEqual(this.readable)
    this.start = logStart
    this.readable = highWatermark
    this.startMax = Math.max(this.startMax, this.start, recoveryPoint)
  }

  open(): void {
    const recover = !this.isClosedClean
    this.isClosedClean = false
    this.kit.open({ recover })
    this.observe()
  }

  append(...sizes: number[]): void {
    for (const records of sizes) {
      const batch = makeBatch({ records, mark: this.mark++ })
      const original = Buffer.from(batch)
      const { error, baseOffset } = this.kit.stage(batch)
      if (error !== Errors.NONE) continue
      this.sent.set(baseOffset, { records, bytes: stored(original, baseOffset) })
    }
    const error = this.kit.log.commit()
    this.observe()
    if (error === Errors.NONE) this.written = this.kit.log.offsets.logEnd
  }

  sync(count: number): void {
    for (let done = 0; done < count && this.kit.disk.completeSyncs(1) > 0; done++) this.observe()
    this.observe()
  }

  pass(): void {
    this.startMax = Math.max(this.startMax, this.kit.log.offsets.recoveryPoint)
    this.kit.log.retention.pass(true)
    this.observe()
  }

  sweep(): void {
    this.kit.log.retention.sweep()
    this.observe()
  }

  deleteRecords(beforeOffset: number): void {
    this.startMax = Math.max(this.startMax, beforeOffset)
    this.kit.log.retention.deleteRecords(beforeOffset, ({ error, logStartOffset }) => {
      if (error !== Errors.NONE) return
      expect(logStartOffset).toBeGreaterThanOrEqual(beforeOffset)
      this.start = Math.max(this.start, logStartOffset)
    })
    this.observe()
  }

  close(): void {
    this.sync(1_000)
    this.isClosedClean = this.kit.log.close({ clean: true })
    if (this.kit.disk.crashed) this.isClosedClean = false
  }

  script(): void {
    this.open()
    this.append(2, 3)
    this.sync(9)
    this.append(1, 4, 2)
    this.append(2)
    this.sync(1)
    this.deleteRecords(3)
    this.append(3, 3, 3)
    this.sync(9)
    this.pass()
    this.sync(1)
    this.append(5, 2)
    this.sync(9)
    this.kit.clock.advance(6_000)
    this.pass()
    this.sync(9)
    this.sweep()
    this.deleteRecords(this.kit.log.offsets.highWatermark)
    this.pass()
    this.sync(9)
    this.append(2, 2)
    this.sync(9)
    this.kit.clock.advance(HOUR)
    this.pass()
    this.sync(9)
    this.pass()
    this.sync(2)
    this.close()
    this.open()
    this.append(3)
    this.deleteRecords(this.kit.log.offsets.logStart + 1)
    this.sync(9)
    this.pass()
    this.sync(9)
  }

  /** Whatever happens next, for as long as told. */
  wander(random: () => number, steps: number): void {
    const below = (count: number): number => Math.floor(random() * count)
    const choices = [
      () => this.append(1 + below(5)),
      () => this.append(1 + below(3), 1 + below(3), 1 + below(3)),
      () => this.sync(1 + below(4)),
      () => this.sync(99),
      () => this.pass(),
      () => this.sweep(),
      () => {
        const { logStart, highWatermark } = this.kit.log.offsets
        this.deleteRecords(logStart + below(highWatermark - logStart + 1))
      },
      () => this.kit.clock.advance(below(HOUR)),
      () => {
        this.close()
        this.open()
      },
    ]
    for (let step = 0; step < steps; step++) choices[below(choices.length)]()
  }

  /** Lives until the crash; false when the script ended first. */
  run(crashAt: number, script: () => void): boolean {
    this.kit.disk.crashAt = this.kit.disk.operations + crashAt
    try {
      script()
    } catch (error) {
      if (!(error instanceof CrashError)) throw error
    }
    return this.kit.disk.crashed
  }

  /** `end`: what must be there, unless it was deleted. */
  check(end: number): void {
    const { logStart, logEnd, highWatermark } = this.kit.log.offsets
    expect(logStart).toBeLessThanOrEqual(this.startMax)
    expect(logEnd).toBeGreaterThanOrEqual(Math.max(end, logStart))
    expect(highWatermark).toBe(logEnd)
    let next = logStart
    for (const batch of this.kit.readAll()) {
      const baseOffset = baseOffsetAt(batch, 0)
      expect(baseOffset).toBeLessThanOrEqual(next)
      expect(batch.equals(this.sent.get(baseOffset)!.bytes), `batch at ${baseOffset}`).toBe(true)
      next = lastOffsetAt(batch, 0) + 1
    }
    expect(next).toBe(logEnd)
    for (const offset of [...this.sent.keys()]) if (offset >= logEnd) this.sent.delete(offset)
    // No file of a deleted segment is left, and no other file is missing.
    this.kit.log.retention.sweep()
    this.kit.settle()
    const bases = this.kit.log.segments.map(({ baseOffset }) => baseOffset)
    const files = this.kit.names().filter(name => name.endsWith('.log'))
    expect(files.map(name => Number(name.slice(0, 20)))).toEqual(bases)
    // Where nothing is left above the log start, what lies below goes with the next pass.
    if (bases.length > 1 && logStart < logEnd) expect(bases[1]).toBeGreaterThan(logStart)
  }

  /** Ends the life, and opens the log in the next one. */
  reborn(cut: (() => number) | null, isOs: boolean): void {
    if (cut === null) this.kit.disk.kill()
    else this.kit.disk.powerCut(cut)
    // Under `os` a power cut takes what was readable, and with it the high watermark.
    const end = cut === null ? this.written : this.readable
    const promised = cut !== null && isOs ? this.start : end
    if (cut !== null) {
      this.readable = Math.min(this.readable, promised)
      this.written = Math.min(this.written, promised)
    }
    this.open()
    this.check(promised)
    this.written = this.kit.log.offsets.logEnd
  }
}

describe.each<FlushPolicy>(['group-commit', 'os'])('under %s', policy => {
  test('killed at any operation', () => {
    let crashAt = 1
    for (; ; crashAt++) {
      const life = new Life(policy)
      const hasCrashed = life.run(crashAt, () => life.script())
      life.reborn(null, policy === 'os')
      life.append(1)
      life.sync(9)
      life.pass()
      life.sync(9)
      if (!hasCrashed) break
    }
    expect(crashAt).toBeGreaterThan(150)
  })

  test('power cut at any operation, and again right after', () => {
    for (const seed of [1, 2, 3, 4]) {
      let crashAt = 1
      for (; ; crashAt++) {
        const random = seeded(seed * 10_000 + crashAt)
        const life = new Life(policy)
        const hasCrashed = life.run(crashAt, () => life.script())
        life.reborn(random, policy === 'os')
        life.reborn(random, policy === 'os')
        if (!hasCrashed) break
      }
      expect(crashAt).toBeGreaterThan(150)
    }
  })

  test('any life, five deaths each', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const random = seeded(seed)
      const life = new Life(policy)
      life.open()
      for (let death = 0; death < 5; death++) {
        life.run(1 + Math.floor(random() * 200), () => life.wander(random, 60))
        life.reborn(random() < 0.5 ? null : random, policy === 'os')
      }
    }
  })
})

test('a recovery that crashes is recovered, up to five times', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = seeded(seed)
    const life = new Life()
    life.open()
    life.run(20 + Math.floor(random() * 300), () => life.wander(random, 90))
    for (let nested = 0; nested < 5; nested++) {
      life.kit.disk.powerCut(random)
      life.kit.disk.crashAt = life.kit.disk.operations + 1 + Math.floor(random() * 50)
      try {
        life.kit.open({ recover: true })
      } catch (error) {
        if (!(error instanceof CrashError)) throw error
      }
    }
    life.isClosedClean = false
    life.reborn(random, false)
  }
})

test.each(['EIO', 'ENOSPC'])('any operation that fails once with %s', code => {
  let failing = 1
  for (; ; failing++) {
    const life = new Life()
    let operations = 0
    life.kit.disk.onOperation = () => (++operations === failing ? { code } : null)
    try {
      life.script()
    } catch (error) {
      // Of a pass, told and tried again; of an open, the log stays closed.
      if ((error as { code?: string }).code !== code) throw error
    }
    if (operations < failing) break
    life.isClosedClean = false
    life.reborn(seeded(failing), false)
  }
  expect(failing).toBeGreaterThan(150)
})

test('a power cut after a clean stop, which nobody notices', () => {
  for (let seed = 1; seed <= 200; seed++) {
    const random = seeded(seed)
    const life = new Life()
    life.open()
    life.wander(random, 30)
    life.close()
    expect(life.isClosedClean).toBe(true)
    life.reborn(random, false)
  }
})

test('an unlink that is lost, or reordered with the others, comes to nothing', () => {
  for (let seed = 1; seed <= 60; seed++) {
    const random = seeded(seed)
    const life = new Life()
    life.open()
    for (let round = 0; round < 8; round++) life.append(3, 3)
    life.sync(99)
    life.pass()
    // The mark and its name are durable; the unlinks are under way.
    life.sync(2)
    expect(life.start).toBeGreaterThan(0)
    life.reborn(random, false)
    expect(life.kit.log.offsets.logStart).toBeGreaterThanOrEqual(life.start)
  }
})

test('a disk without faults deletes as the settings say', () => {
  const life = new Life()
  life.run(Number.POSITIVE_INFINITY, () => life.script())
  expect(life.kit.disk).toBeInstanceOf(FaultDisk)
  expect(life.start).toBeGreaterThan(20)
})
