import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { batchBytesAt } from '../../src/protocol/record-batch.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { directory, expectSame, LogHarness, makeBatch, stored } from './log-kit.ts'

describe('append', () => {
  test('offsets count records and batches are stored as sent, but for base offset and epoch', () => {
    const kit = new LogHarness().open()
    const sent = [3, 1, 5].map((records, mark) => makeBatch({ records, mark }))
    const originals = sent.map(batch => Buffer.from(batch))
    const results = kit.append(...sent)
    expect(results.map(result => [result.error, result.baseOffset, result.lastOffset])).toEqual([
      [0, 0, 2],
      [0, 3, 3],
      [0, 4, 8],
    ])
    kit.settle()
    expect(kit.readAll()).toEqual([
      stored(originals[0], 0),
      stored(originals[1], 3),
      stored(originals[2], 4),
    ])
    expect(kit.log.offsets).toMatchObject({ logStart: 0, highWatermark: 9, logEnd: 9 })
  })

  test('nothing is written before commit, and one round of small batches is one write', () => {
    const kit = new LogHarness().open()
    const writes: number[] = []
    kit.disk.onOperation = ({ kind, bytes }) => {
      if (kind === 'write') writes.push(bytes)
      return null
    }
    const batches = Array.from({ length: 40 }, (_, mark) => makeBatch({ mark }))
    for (const batch of batches) kit.stage(batch)
    expect(writes).toEqual([])
    expect(kit.log.commit()).toBe(Errors.NONE)
    expect(writes).toEqual([batches.reduce((sum, batch) => sum + batch.length, 0)])
  })

  test('batches of any size that are written together arrive whole', () => {
    const kit = new LogHarness().open()
    const sizes = [10, 10, 40_000, 10, 60_000, 70_000, 10, 10]
    const batches = sizes.map((valueBytes, mark) => makeBatch({ valueBytes, mark }))
    kit.append(...batches)
    kit.settle()
    expectSame(kit.readAll(), batches)
  })

  test('a round of more batches than one gathering call takes arrives whole', () => {
    const kit = new LogHarness().open()
    const batches = Array.from({ length: 2_500 }, (_, mark) => makeBatch({ mark }))
    kit.append(...batches)
    kit.settle()
    expectSame(kit.readAll(), batches)
  })

  test('a refused batch takes no offset and spoils no other', () => {
    const kit = new LogHarness({ batchBytesMax: 5_000 }).open()
    const bad = makeBatch({ mark: 7 })
    bad[bad.length - 1] ^= 1
    const large = makeBatch({ valueBytes: 6_000 })
    const results = kit.append(makeBatch({ mark: 1 }), bad, large, makeBatch({ mark: 2 }))
    expect(results.map(({ error }) => error)).toEqual([
      Errors.NONE,
      Errors.CORRUPT_MESSAGE,
      Errors.MESSAGE_TOO_LARGE,
      Errors.NONE,
    ])
    expect(results[3].baseOffset).toBe(1)
    expect(kit.log.offsets.logEnd).toBe(2)
  })

  test('a batch larger than a segment is refused', () => {
    const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
    expect(kit.stage(makeBatch({ valueBytes: 2_000 })).error).toBe(Errors.RECORD_LIST_TOO_LARGE)
  })

  test('LogAppendTime stamps the time of the broker, which never goes back', () => {
    const kit = new LogHarness({ timestampType: 'LogAppendTime' }).open()
    const [first] = kit.append(makeBatch({ timestampMs: 5 }))
    const firstMs = kit.clock.wall
    kit.clock.wall -= 60_000
    const [second] = kit.append(makeBatch({ timestampMs: 6 }))
    expect([first.logAppendTimeMs, second.logAppendTimeMs]).toEqual([firstMs, firstMs])
    kit.settle()
    // readAll checks the CRC, which had to be computed anew.
    const maxima = kit.readAll().map(batch => Number(batch.readBigInt64BE(35)))
    expect(maxima).toEqual([firstMs, firstMs])
    expect(kit.readAll().every(batch => (batch[22] & 8) === 8)).toBe(true)
  })

  test('commit without anything staged does nothing', () => {
    const kit = new LogHarness().open()
    const before = kit.disk.operations
    expect(kit.log.commit()).toBe(Errors.NONE)
    expect([kit.disk.operations - before, kit.advances]).toEqual([0, 0])
  })
})

describe('roll', () => {
  test('a segment that a batch would overfill is sealed; the next one is named after its offset', () => {
    const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
    const batches = Array.from({ length: 10 }, (_, mark) => makeBatch({ valueBytes: 300, mark }))
    kit.append(...batches.slice(0, 7))
    kit.append(...batches.slice(7))
    kit.settle()
    const logs = kit.names().filter(name => name.endsWith('.log'))
    expect(logs.map(name => Number(name.slice(0, 20)))).toEqual([0, 2, 4, 6, 8])
    for (const name of logs) {
      expect(kit.disk.bytesOf(`${directory}/${name}`).length).toBeLessThanOrEqual(1_000)
    }
    expectSame(kit.readAll(), batches)
  })

  test('a segment older than the limit is sealed by the next append, an empty one is not', () => {
    const kit = new LogHarness({ segmentAgeMsMax: 10_000 }).open()
    kit.clock.advance(60_000)
    kit.append(makeBatch())
    kit.clock.advance(9_999)
    kit.append(makeBatch())
    expect(kit.log.segments.length).toBe(1)
    kit.clock.advance(1)
    kit.append(makeBatch())
    expect(kit.log.segments.map(segment => segment.baseOffset)).toEqual([0, 2])
  })

  test('a full index seals the segment', () => {
    const kit = new LogHarness({ indexIntervalBytes: 0, indexBytesMax: 80 }).open()
    for (let mark = 0; mark < 30; mark++) kit.append(makeBatch({ mark }))
    kit.settle()
    expect(kit.log.segments.length).toBeGreaterThan(2)
    for (const name of kit.names().filter(name => name.endsWith('index'))) {
      expect(kit.disk.bytesOf(`${directory}/${name}`).length).toBeLessThanOrEqual(80)
    }
    expect(kit.readAll().length).toBe(30)
  })
})

describe('read', () => {
  function filled(): { kit: LogHarness; batches: Buffer[] } {
    const kit = new LogHarness({ indexIntervalBytes: 500 }).open()
    const batches = Array.from({ length: 50 }, (_, mark) =>
      makeBatch({ records: 1 + (mark % 4), valueBytes: 50 + mark, mark }),
    )
    for (const batch of batches) kit.append(batch)
    kit.settle()
    return { kit, batches }
  }

  test('from the middle of a batch that batch comes whole', () => {
    const { kit, batches } = filled()
    // Batch 2 holds offsets 3, 4, 5.
    for (const offset of [3, 4, 5]) expect(kit.read(offset, 400).bytes).toEqual(batches[2])
  })

  test('whole batches only, as many as fit', () => {
    const { kit, batches } = filled()
    const [a, b, c] = batches
    const result = newReadResult()
    const region = Buffer.alloc(100_000)
    kit.log.read(0, a.length + b.length + c.length - 1, region, result)
    expect(result).toMatchObject({ error: 0, start: 0, length: a.length + b.length, nextOffset: 3 })
    kit.log.read(0, a.length + b.length + c.length, region, result)
    expect(result).toMatchObject({ length: a.length + b.length + c.length, nextOffset: 6 })
  })

  test('a first batch that does not fit is announced with its size', () => {
    const { kit, batches } = filled()
    const result = newReadResult()
    for (const [maxBytes, regionBytes] of [
      [10, 10],
      [61, 61],
      [batches[2].length - 1, 100_000],
      [100_000, batches[2].length - 1],
      [0, 0],
    ]) {
      kit.log.read(4, maxBytes, Buffer.alloc(regionBytes), result)
      expect(result).toMatchObject({ error: 0, length: 0, neededBytes: batches[2].length })
    }
  })

  test('outside of the log is out of range, between high watermark and log end is empty', () => {
    const { kit } = filled()
    const { logEnd } = kit.log.offsets
    const result = newReadResult()
    const region = Buffer.alloc(1_000)
    kit.append(makeBatch({ records: 2 }))
    for (const [offset, error] of [
      [-1, Errors.OFFSET_OUT_OF_RANGE],
      [logEnd, Errors.NONE],
      [logEnd + 2, Errors.NONE],
      [logEnd + 3, Errors.OFFSET_OUT_OF_RANGE],
    ]) {
      kit.log.read(offset, 1_000, region, result)
      expect(result).toMatchObject({ error, length: 0, neededBytes: 0 })
    }
  })

  test('bytes above the high watermark are never returned', () => {
    const { kit, batches } = filled()
    kit.append(makeBatch({ mark: 99 }))
    expect(kit.readAll().length).toBe(batches.length)
    kit.settle()
    expect(kit.readAll().length).toBe(batches.length + 1)
  })

  test('a reader that goes on where it stopped needs one read and no index', () => {
    const { kit } = filled()
    const operations: string[] = []
    // The index leads to a place before that offset: the answer begins inside of the region.
    const result = newReadResult()
    kit.log.read(25, 800, Buffer.alloc(2_000), result)
    const { start, nextOffset } = result
    expect(start).toBeGreaterThan(0)
    kit.disk.onOperation = ({ kind, path }) => {
      operations.push(`${kind} ${path.slice(-4)}`)
      return null
    }
    const { bytes } = kit.read(nextOffset, 800)
    expect(operations).toEqual(['read .log'])
    expect(bytes.length).toBeGreaterThanOrEqual(batchBytesAt(bytes, 0))
  })

  test('a read error fails that read only', () => {
    const { kit, batches } = filled()
    kit.disk.onOperation = ({ kind }) => (kind === 'read' ? { code: 'EIO' } : null)
    expect(() => kit.read(0)).toThrow(`${Errors.KAFKA_STORAGE_ERROR}`)
    kit.disk.onOperation = () => null
    expectSame(kit.readAll(), batches)
    expect(kit.log.state).toBe('online')
  })
})

test('describe names sizes, offsets and state', () => {
  const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
  const batches = Array.from({ length: 5 }, (_, mark) => makeBatch({ valueBytes: 300, mark }))
  kit.append(...batches)
  expect(kit.log.describe()).toEqual({
    slot: 3,
    logStartOffset: 0,
    highWatermark: 0,
    logEndOffset: 5,
    sizeBytes: batches.reduce((sum, batch) => sum + batch.length, 0),
    segmentCount: 3,
    state: 'online',
    reason: null,
  })
})
