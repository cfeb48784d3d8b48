/**
 * The scrub: finds every bad byte below the flushed end in one pass, at its pace, and only there (RELIABILITY P12, B8).
 */
import { expect, test } from 'vitest'
import type { ScrubInput } from '../../src/contracts/scrub.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { scrubSlice } from '../../workers/log/scrub-slice.ts'
import { Scrubber } from '../../workers/log/scrubber.ts'
import { seeded } from '../support/fault-disk.ts'
import { LogHarness, makeBatch } from './log-kit.ts'

const dayMs = 86_400_000

/** A log of several sealed segments, and a scrubber over it that runs its tasks on the same disk. */
function scrubbed(kit: LogHarness) {
  const inputs: ScrubInput[] = []
  const failures: Error[] = []
  let bytes = 0
  let passes = 0
  const scrubber = new Scrubber({
    clock: kit.clock,
    tasks: {
      run: async (task, input) => {
        expect(task).toBe('scrub-segment')
        inputs.push(input as ScrubInput)
        return scrubSlice(kit.disk, input as ScrubInput)
      },
    },
    logs: bySlot(kit.log),
    intervalMs: dayMs,
    bytesPerSecondMax: 1024 * 1024,
    onProgress: (done, isPassDone) => {
      bytes += done
      if (isPassDone) passes++
    },
    onFailure: (_, error) => failures.push(error),
  })
  return { scrubber, inputs, failures, bytes: () => bytes, passes: () => passes }
}

function bySlot<T extends { slot: number }>(log: T): (T | undefined)[] {
  const logs: (T | undefined)[] = []
  logs[log.slot] = log
  return logs
}

function filled(rounds = 12): LogHarness {
  const kit = new LogHarness({ segmentBytesMax: 900, indexIntervalBytes: 200 }).open()
  for (let round = 0; round < rounds; round++) kit.append(makeBatch({ records: 3, mark: round }))
  kit.settle()
  return kit
}

/** Lets time pass in steps, with the microtasks in between. */
async function pass(kit: LogHarness, ms: number, stepMs = 10_000): Promise<void> {
  for (let at = 0; at < ms; at += stepMs) {
    kit.clock.advance(stepMs)
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  }
}

test('a pass reads every flushed byte once, one pass an interval', async () => {
  const kit = filled()
  const run = scrubbed(kit)
  const total = kit.log.segments.reduce((sum, segment) => sum + segment.sizeBytes, 0)
  run.scrubber.start()
  await pass(kit, dayMs / 2)
  expect(run.passes()).toBe(1)
  expect(run.bytes()).toBe(total)
  await pass(kit, dayMs)
  expect(run.passes()).toBe(2)
  expect(run.bytes()).toBe(2 * total)
  expect(run.failures).toEqual([])
  run.scrubber.stop()
})

test('nothing that is not flushed yet is looked at', async () => {
  const kit = filled(6)
  kit.append(makeBatch({ records: 2 }))
  const { recoveryPoint } = kit.log.offsets
  const run = scrubbed(kit)
  run.scrubber.start()
  await pass(kit, dayMs / 2)
  const active = run.inputs.filter(({ baseOffset }) => baseOffset === kit.log.active.baseOffset)
  for (const { limitBytes } of active) expect(limitBytes).toBeLessThan(kit.log.active.sizeBytes)
  expect(recoveryPoint).toBeLessThan(kit.log.offsets.logEnd)
  run.scrubber.stop()
})

test('any flipped bit is found in one pass, readers get an error there and everything else', async () => {
  const random = seeded(11)
  for (let trial = 0; trial < 60; trial++) {
    const kit = filled()
    const target = kit.log.segments[Math.floor(random() * kit.log.segments.length)]
    const bytes = kit.disk.bytesOf(target.path)
    const at = Math.floor(random() * bytes.length)
    bytes[at] ^= 1 << Math.floor(random() * 8)
    kit.disk.setBytes(target.path, bytes)
    const { logStart, highWatermark } = kit.log.offsets
    const run = scrubbed(kit)
    run.scrubber.start()
    await pass(kit, dayMs / 2)
    run.scrubber.stop()
    // A flip in the leader epoch, which no checksum covers, is no damage to a record.
    const isCovered = !isInEpoch(bytes, at)
    let readable = 0
    let corrupt = 0
    for (let offset = logStart; offset < highWatermark; offset++) {
      try {
        kit.read(offset)
        readable++
      } catch (error) {
        expect((error as { error?: number }).error, `trial ${trial}`).toBe(Errors.CORRUPT_MESSAGE)
        corrupt++
      }
    }
    expect(corrupt, `trial ${trial}, byte ${at} of ${target.path}`).toBe(isCovered ? 3 : 0)
    expect(readable).toBe(highWatermark - logStart - corrupt)
  }
})

/** Batches of one log here all have the same size. */
function isInEpoch(bytes: Buffer, at: number): boolean {
  const batchBytes = bytes.readInt32BE(8) + 12
  const within = at % batchBytes
  return within >= 12 && within < 16
}

test('a segment that goes while it is looked at is nobody’s damage', async () => {
  const kit = filled()
  const run = scrubbed(kit)
  run.scrubber.start()
  const [first] = kit.log.segments
  kit.disk.onOperation = ({ kind, path }) => {
    if (kind === 'open' && path === first.path && kit.log.segments[0] === first) {
      kit.log.segments.shift()
      return { code: 'ENOENT' }
    }
    return null
  }
  await pass(kit, dayMs / 2)
  expect(run.failures).toEqual([])
  expect(run.passes()).toBe(1)
  run.scrubber.stop()
})

test('behind rot in a log that grows only what is new is read', async () => {
  const kit = new LogHarness({ indexIntervalBytes: 200 }).open()
  const grow = (rounds: number): void => {
    for (let round = 0; round < rounds; round++) kit.append(makeBatch({ records: 3, mark: round }))
    kit.settle()
  }
  grow(5)
  const { path } = kit.log.active
  const bytes = kit.disk.bytesOf(path)
  bytes[100] ^= 4
  kit.disk.setBytes(path, bytes)
  const run = scrubbed(kit)
  run.scrubber.start()
  // One slice finds the rot; in the middle of the pass the log grows.
  await pass(kit, 40_000, 1000)
  expect(run.inputs).toHaveLength(1)
  grow(5)
  await pass(kit, 30_000, 1000)
  expect(run.inputs).toHaveLength(2)
  expect(run.inputs[1].nextOffset).toBe(15)
  expect(() => kit.read(0)).toThrow(`read 0: ${Errors.CORRUPT_MESSAGE}`)
  expect(kit.read(3).nextOffset).toBe(30)
  run.scrubber.stop()
})

test('the first pass keeps to the interval though no log is open when it is planned', async () => {
  const kit = filled()
  const logs: (typeof kit.log | undefined)[] = []
  let slices = 0
  let passes = 0
  const segments = kit.log.segments.slice(0, 1)
  const log = Object.create(kit.log, {
    segments: { value: segments },
    provenBytes: { value: () => 30_000 * 4 * 1024 * 1024 },
    verified: { value: () => {} },
  })
  const scrubber = new Scrubber({
    clock: kit.clock,
    tasks: {
      run: async (_, input) => {
        slices++
        const { position, sliceBytes, nextOffset } = input as ScrubInput
        return { position: position + sliceBytes, nextOffset, rotten: null }
      },
    },
    logs,
    intervalMs: dayMs,
    bytesPerSecondMax: 32 * 1024 * 1024,
    onProgress: (_, isPassDone) => {
      if (isPassDone) passes++
    },
    onFailure: (_, error) => {
      throw error
    },
  })
  scrubber.start()
  logs[kit.log.slot] = log
  await pass(kit, dayMs, 500)
  scrubber.stop()
  expect(slices).toBe(30_000)
  expect(passes).toBe(1)
})

test('a segment with thousands of bad places is told about in bounded words', () => {
  const kit = new LogHarness().open()
  const batches = 2400
  for (let mark = 0; mark < batches; mark++) kit.append(makeBatch({ mark }))
  kit.settle()
  const { path, sizeBytes } = kit.log.active
  const bytes = kit.disk.bytesOf(path)
  for (let at = 0, index = 0; at < bytes.length; index++) {
    const batchBytes = bytes.readInt32BE(at + 8) + 12
    if (index % 2 === 1) bytes[at + batchBytes - 1] ^= 1
    at += batchBytes
  }
  kit.disk.setBytes(path, bytes)
  const { rotten } = scrubSlice(kit.disk, {
    path,
    baseOffset: 0,
    limitBytes: sizeBytes,
    gapsBelowOffset: 0,
    position: 0,
    nextOffset: 0,
    sliceBytes: 1024,
  })
  expect(rotten).toHaveLength(1000)
  expect(rotten?.[0]).toMatchObject({ firstOffset: 1, nextOffset: 2 })
  expect(rotten?.at(-1)).toMatchObject({ firstOffset: 1999, endPosition: sizeBytes })
})

test('a log whose files cannot be opened keeps nobody else from being looked at', async () => {
  const kit = filled()
  const logs: (typeof kit.log | undefined)[] = []
  const { slot, segments } = kit.log
  logs[slot] = kit.log
  const another = (at: number, provenBytes: typeof kit.log.provenBytes): typeof kit.log =>
    Object.create(kit.log, { slot: { value: at }, provenBytes: { value: provenBytes } })
  logs[slot + 1] = another(slot + 1, segment => kit.log.provenBytes(segment))
  logs[slot + 2] = another(slot + 2, () => {
    throw new Error('ENOENT')
  })
  let passes = 0
  const failures: number[] = []
  const looked: number[] = []
  const scrubber = new Scrubber({
    clock: kit.clock,
    tasks: {
      run: async (_, input) => {
        looked.push((input as ScrubInput).baseOffset)
        return scrubSlice(kit.disk, input as ScrubInput)
      },
    },
    logs,
    intervalMs: dayMs,
    bytesPerSecondMax: 1024 * 1024,
    onProgress: (_, isPassDone) => {
      if (isPassDone) passes++
    },
    onFailure: at => failures.push(at),
  })
  scrubber.start()
  await pass(kit, dayMs / 2)
  scrubber.stop()
  const bases = segments.map(({ baseOffset }) => baseOffset)
  expect(looked).toEqual([...bases, ...bases])
  expect(failures).toEqual([slot + 2])
  expect(passes).toBe(1)
})
