/**
 * Bytes of flushed records that change on disk (RELIABILITY P3, P12; rows A12 to A14, A16 of the fault matrix): found
 * whatever bit it is, by a scan and by whoever reads there first; an error for those offsets that names the next good
 * one, everything else as it was.
 */
import { describe, expect, test } from 'vitest'
import type { RottenRange } from '../../src/contracts/control.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { BATCH_HEADER_BYTES, baseOffsetAt } from '../../src/protocol/record-batch.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { scanSegment } from '../../workers/log/scan-segment.ts'
import { seeded } from '../support/fault-disk.ts'
import { directory, expectSame, LogHarness, makeBatch, splitBatches, stored } from './log-kit.ts'

const RECORDS = 3

/** A sealed segment of some 100 KiB and an active one, all flushed and covered by a checkpoint, closed clean. */
function written(config = {}): { kit: LogHarness; batches: Buffer[]; sealedCount: number } {
  const kit = new LogHarness({ segmentBytesMax: 100_000, ...config }).open()
  const batches = Array.from({ length: 150 }, (_, mark) =>
    makeBatch({ records: RECORDS, valueBytes: 260, mark }),
  )
  for (const batch of batches) kit.append(batch)
  kit.closeClean()
  const sealedCount = kit.log.active.baseOffset / RECORDS
  expect(kit.log.segments.length).toBe(2)
  return { kit, batches, sealedCount }
}

interface Served {
  readonly batches: Map<number, Buffer>
  /** Offsets that gave an error, and the next good one it named. */
  readonly lost: [from: number, to: number][]
}

/** Fetches from the log start on; after an error goes on where it says. */
function readThrough(kit: LogHarness, maxBytes = 20_000): Served {
  const served: Served = { batches: new Map(), lost: [] }
  const region = Buffer.alloc(120_000)
  const result = newReadResult()
  const { logStart, highWatermark } = kit.log.offsets
  for (let offset = logStart; offset < highWatermark; offset = result.nextOffset) {
    kit.log.read(offset, maxBytes, region.subarray(0, maxBytes), result)
    // As a fetch does; a wrong length may ask for much.
    if (result.neededBytes > 0) kit.log.read(offset, result.neededBytes, region, result)
    if (result.error === Errors.CORRUPT_MESSAGE) served.lost.push([offset, result.nextOffset])
    else {
      expect(result.error).toBe(Errors.NONE)
      const bytes = region.subarray(result.start, result.start + result.length)
      for (const batch of splitBatches(bytes)) served.batches.set(baseOffsetAt(batch, 0), batch)
    }
    expect(result.nextOffset).toBeGreaterThan(offset)
  }
  return served
}

function flip(kit: LogHarness, base: number, bit: number): () => void {
  const path = kit.path(base, 'log')
  const bytes = kit.disk.bytesOf(path)
  const put = (): void => {
    bytes[bit >>> 3] ^= 1 << (bit & 7)
    kit.disk.setBytes(path, bytes)
  }
  put()
  return put
}

/** Only this batch is gone. */
function expectLost(served: Served, batches: readonly Buffer[], index: number, what: string): void {
  const first = index * RECORDS
  expect(served.lost, what).toEqual([[first, first + RECORDS]])
  expect(served.batches.size, what).toBe(batches.length - 1)
  for (const [base, batch] of served.batches) {
    expect(batch.equals(batches[base / RECORDS]), what).toBe(true)
  }
}

function rottenIn(kit: LogHarness, base: number, endOffset: number): RottenRange[] {
  const rotten: RottenRange[] = []
  scanSegment({
    disk: kit.disk,
    path: kit.path(base, 'log'),
    firstOffset: base,
    endOffset,
    provenOffset: Number.MAX_SAFE_INTEGER,
    checkFromOffset: 0,
    onBatch: () => {},
    onRot: range => rotten.push(range),
  })
  return rotten
}

describe('every bit of a header, and many of the records', () => {
  const { kit, batches, sealedCount } = written()
  const active = sealedCount * RECORDS
  const size = batches[0].length
  const random = seeded(5)

  function tryFlip(index: number, bitInBatch: number, recover: boolean): void {
    const base = index < sealedCount ? 0 : active
    const within = index < sealedCount ? index : index - sealedCount
    const what = `batch ${index}, bit ${bitInBatch}, byte ${bitInBatch >>> 3}`
    const undo = flip(kit, base, within * size * 8 + bitInBatch)
    const [range, ...more] = rottenIn(kit, base, base === 0 ? active : batches.length * RECORDS)
    expect(more, what).toEqual([])
    expect(range, what).toMatchObject({ firstOffset: index * RECORDS })
    expect([-1, (index + 1) * RECORDS], what).toContain(range.nextOffset)
    const before = kit.disk.bytesOf(kit.path(base, 'log'))
    kit.open({ recover })
    expectLost(readThrough(kit), batches, index, what)
    // A second look at it, and a first one at the batch behind alone.
    if (index + 1 < batches.length) {
      expectSame([kit.read((index + 1) * RECORDS, size).bytes], [batches[index + 1]])
    }
    expect(kit.disk.bytesOf(kit.path(base, 'log')).equals(before), 'never cut').toBe(true)
    kit.disk.kill()
    undo()
  }

  test.each([0, 57, sealedCount - 1])('batch %i of a sealed segment', index => {
    for (let bit = 0; bit < BATCH_HEADER_BYTES * 8; bit++) tryFlip(index, bit, false)
  })

  test.each([sealedCount, sealedCount + 11])('batch %i, in the active segment', index => {
    for (let bit = 0; bit < BATCH_HEADER_BYTES * 8; bit++) tryFlip(index, bit, true)
  })

  test('records', () => {
    for (let count = 0; count < 300; count++) {
      // The last batch of all would leave the end of the log open: it has a test of its own.
      const index = Math.floor(random() * (batches.length - 1))
      const header = BATCH_HEADER_BYTES * 8
      tryFlip(index, header + Math.floor(random() * (size * 8 - header)), count % 2 === 0)
    }
  })
})

test('any single offset behind rot can be asked for first', () => {
  const { kit, batches } = written()
  const size = batches[0].length
  for (const byte of [0, 7, 8, 11, 16, 23, 57, 200]) {
    const undo = flip(kit, 0, (40 * size + byte) * 8)
    for (let offset = 100; offset < 140; offset++) {
      kit.open()
      const index = Math.floor(offset / RECORDS)
      if (index === 40) {
        expect(() => kit.read(offset, size), `byte ${byte}`).toThrow(`${Errors.CORRUPT_MESSAGE}`)
      } else expectSame([kit.read(offset, size).bytes], [batches[index]])
      kit.disk.kill()
    }
    undo()
  }
})

test('many rotten places: each is an error of its own, and all of it is told once', () => {
  const { kit, batches } = written()
  const size = batches[0].length
  for (const index of [3, 4, 20, 60]) flip(kit, 0, (index * size + 100) * 8)
  kit.open()
  const told: unknown[] = []
  kit.onLost = range => told.push(range)
  const served = readThrough(kit)
  const wanted = [
    [9, 15],
    [60, 63],
    [180, 183],
  ]
  expect(served.lost).toEqual(wanted)
  expect(served.batches.size).toBe(batches.length - 4)
  expect(readThrough(kit).lost).toEqual(wanted)
  expect(told.length).toBe(3)
})

test('appends go on, and a restart finds it again', () => {
  const { kit, batches } = written()
  const undo = flip(kit, 0, (10 * batches[0].length + 70) * 8)
  for (const recover of [false, true, true]) {
    kit.open({ recover })
    const more = makeBatch({ records: RECORDS, mark: 900 + batches.length })
    batches.push(more)
    kit.append(more)
    kit.settle()
    expectLost(readThrough(kit), batches, 10, 'after an append')
    kit.disk.kill()
  }
  undo()
})

test('a region that holds one batch only meets the same errors', () => {
  const { kit, batches } = written()
  flip(kit, 0, (10 * batches[0].length + 70) * 8)
  kit.open()
  expectLost(readThrough(kit, batches[0].length), batches, 10, 'one at a time')
})

describe('a batch that lies where it does not belong', () => {
  test.each([
    ['of another offset of this log', 30],
    ['of a later offset', 300],
    ['of no offset near', 100_000],
  ])('%s', (_, baseOffset) => {
    const { kit, batches } = written()
    const path = kit.path(0, 'log')
    const bytes = kit.disk.bytesOf(path)
    const foreign = stored(makeBatch({ records: RECORDS, valueBytes: 260, mark: 77 }), baseOffset)
    expect(foreign.length).toBe(batches[0].length)
    foreign.copy(bytes, 20 * foreign.length)
    kit.disk.setBytes(path, bytes)
    kit.open()
    expectLost(readThrough(kit), batches, 20, `offset ${baseOffset}`)
  })
})

describe('a disk that cannot read', () => {
  test('fails that fetch only', () => {
    const { kit, batches } = written()
    kit.open()
    let failures = 1
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'read' && path === kit.path(0, 'log') && failures-- > 0 ? { code: 'EIO' } : null
    expect(() => kit.read(0)).toThrow(`${Errors.KAFKA_STORAGE_ERROR}`)
    expectSame(kit.readAll(), batches)
    expect(kit.log.state).toBe('online')
  })

  test('three times in one segment: that one is lost, others are not', () => {
    const { kit, batches, sealedCount } = written()
    kit.open()
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'read' && path === kit.path(0, 'log') ? { code: 'EIO' } : null
    for (const offset of [0, 90, 30]) {
      expect(() => kit.read(offset)).toThrow(`${Errors.KAFKA_STORAGE_ERROR}`)
    }
    const served = readThrough(kit)
    expect(served.lost).toEqual([[0, sealedCount * RECORDS]])
    expect(served.batches.size).toBe(batches.length - sealedCount)
    // EMFILE says nothing about the disk.
    expect(kit.log.segments[1].readFailures).toBe(0)
    const more = makeBatch({ records: RECORDS })
    kit.append(more)
    kit.settle()
    expectSame([kit.read(batches.length * RECORDS).bytes], [more])
  })

  test('want of descriptors is not held against a segment', () => {
    const { kit, batches } = written()
    kit.open()
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'open' && path === kit.path(0, 'log') ? { code: 'EMFILE' } : null
    for (let count = 0; count < 5; count++) expect(() => kit.read(0)).toThrow()
    kit.disk.onOperation = () => null
    expectSame(kit.readAll(), batches)
  })
})

test('what was appended, recovered or read once is not checked again', () => {
  const { kit } = written()
  kit.open()
  const [sealed] = kit.log.segments
  expect(sealed.checked.has(0, 1)).toBe(false)
  kit.readAll()
  expect(sealed.checked.has(0, sealed.sizeBytes)).toBe(true)
  kit.append(makeBatch())
  const { active } = kit.log
  expect(active.checked.has(active.sizeBytes - 80, active.sizeBytes)).toBe(true)
})

test('a wrong length that leads to the very end, or close to it, hides nothing behind', () => {
  const records = [1, 3, 2]
  const kit = new LogHarness().open()
  const batches = records.map((count, mark) => makeBatch({ mark, records: count }))
  for (const batch of batches) kit.append(batch)
  kit.settle()
  kit.closeClean()
  const path = kit.path(0, 'log')
  const good = kit.disk.bytesOf(path)
  for (let length = 49; length <= good.length - 12; length++) {
    const bytes = Buffer.from(good)
    bytes.writeInt32BE(length, 8)
    if (bytes.equals(good)) continue
    for (const offset of [1, 2, 4]) {
      kit.disk.setBytes(path, bytes)
      const again = new LogHarness({}, kit.disk).open()
      const [found] = splitBatches(again.read(offset).bytes)
      const wanted = offset < 4 ? stored(batches[1], 1) : stored(batches[2], 4)
      expect(found.equals(wanted), `length ${length}, at ${offset}`).toBe(true)
      expect(again.log.lostRanges.ranges.every(({ nextOffset }) => nextOffset === 1)).toBe(true)
      again.log.close({ clean: false })
    }
  }
})

test('an index that rots while the process lives that wrote it costs a walk, no record', () => {
  const kit = new LogHarness({ segmentBytesMax: 20_000 }).open()
  const batches = Array.from({ length: 150 }, (_, mark) => makeBatch({ valueBytes: 260, mark }))
  for (const batch of batches) kit.append(batch)
  kit.settle()
  const { length } = batches[0]
  const damage = (path: string): void => {
    if (kit.disk.exists(path))
      kit.disk.setBytes(path, Buffer.alloc(kit.disk.bytesOf(path).length, 5))
  }
  for (let times = 0; times < 2; times++) {
    for (const name of kit.names())
      if (/\.index(\.tmp)?$/.test(name)) damage(`${directory}/${name}`)
    for (const mark of [40, 80, 120]) {
      expectSame([kit.read(mark, length).bytes], [batches[mark]])
    }
  }
  expect(kit.log.lostRanges.isEmpty).toBe(true)
})
