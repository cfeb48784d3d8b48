import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expectSame, LogHarness, makeBatch } from './log-kit.ts'

interface Entry {
  readonly baseOffset: number
  readonly timestampMs: number
  readonly bytes: Buffer
}

/** Appends one batch per timestamp, the last `unflushed` of them without a flush. */
function filled(
  timestamps: readonly number[],
  unflushed: number,
  segmentBytesMax: number,
): { kit: LogHarness; readable: Entry[] } {
  const kit = new LogHarness({ segmentBytesMax, indexIntervalBytes: 150 }).open()
  const entries: Entry[] = []
  for (const [index, timestampMs] of timestamps.entries()) {
    if (index === timestamps.length - unflushed) kit.settle()
    const batch = makeBatch({ records: 1 + (index % 3), timestampMs, mark: index })
    const [{ baseOffset }] = kit.append(batch)
    entries.push({ baseOffset, timestampMs, bytes: batch })
  }
  if (unflushed === 0) kit.settle()
  return {
    kit,
    readable: entries.filter(({ baseOffset }) => baseOffset < kit.log.offsets.highWatermark),
  }
}

function check(kit: LogHarness, readable: readonly Entry[]): void {
  for (let timestampMs = -1; timestampMs <= 101; timestampMs += 3) {
    const wanted = readable.find(entry => entry.timestampMs >= timestampMs)
    const found = kit.log.findByTime(timestampMs)
    expect(found?.baseOffset).toBe(wanted?.baseOffset)
    if (found === null) continue
    const bytes = Buffer.alloc(found.bytes)
    expect(kit.log.readAt(found, bytes)).toBe(found.bytes)
    expectSame([bytes], [wanted!.bytes])
    expect(kit.log.readAt(found, bytes.subarray(1))).toBe(0)
  }
  for (let from = 0; from < kit.log.offsets.highWatermark; from += 5) {
    const wanted = readable.find(
      ({ timestampMs, baseOffset, bytes }) =>
        timestampMs >= 40 && baseOffset + bytes.readInt32BE(23) >= from,
    )
    expect(kit.log.findByTime(40, from)?.baseOffset).toBe(wanted?.baseOffset)
  }
  const maxMs = Math.max(...readable.map(({ timestampMs }) => timestampMs))
  const first = readable.find(({ timestampMs }) => timestampMs === maxMs)
  expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(first?.baseOffset)
}

const timestamps = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 60 }),
  fc
    .array(fc.integer({ min: 0, max: 100 }), { minLength: 1, maxLength: 60 })
    .map(times => times.toSorted((a, b) => a - b)),
  fc.integer({ min: 1, max: 40 }).map(count => new Array<number>(count).fill(40)),
)

test('look-ups by time agree with a search through all readable batches', () => {
  fc.assert(
    fc.property(
      timestamps,
      fc.integer({ min: 0, max: 15 }),
      fc.constantFrom(400, 1_500, 100_000),
      (times, unflushed, segmentBytesMax) => {
        const { kit, readable } = filled(times, Math.min(unflushed, times.length), segmentBytesMax)
        check(kit, readable)
        kit.settle()
        const all = filled(times, 0, segmentBytesMax).readable
        check(kit, all)
        kit.closeClean()
        kit.open()
        check(kit, all)
        kit.disk.kill()
        kit.open({ recover: true })
        check(kit, all)
      },
    ),
    { numRuns: 60 },
  )
})

test('an empty log has no batch for any time', () => {
  const kit = new LogHarness().open()
  expect(kit.log.findByTime(0)).toBe(null)
  expect(kit.log.findMaxTimestamp()).toBe(null)
})

test('batches without timestamps are found by the time before all others', () => {
  const kit = new LogHarness().open()
  kit.append(makeBatch({ timestampMs: -1 }), makeBatch({ timestampMs: -1 }))
  kit.settle()
  expect(kit.log.findByTime(0)).toBe(null)
  expect(kit.log.findByTime(-1)?.baseOffset).toBe(0)
  expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(0)
})
