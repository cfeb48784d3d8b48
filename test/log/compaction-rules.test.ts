/** Single rules of compaction, batch by batch: what is kept as it is, what is rewritten, and how Kafka marks it. */
import { describe, expect, test } from 'vitest'
import { codecNames } from '../../src/protocol/compression.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { encodeBatch } from '../../src/protocol/encode-batch.ts'
import {
  attributesAt,
  baseSequenceAt,
  baseTimestampAt,
  codecAt,
  hasDeleteHorizon,
  isLogAppendTime,
  lastOffsetDeltaAt,
  maxTimestampAt,
  recordCountAt,
  stampLogAppendTime,
} from '../../src/protocol/record-batch.ts'
import { compactSegments } from '../../workers/log/compaction/compact-segments.ts'
import { KeyMap } from '../../workers/log/compaction/key-map.ts'
import { sleepingPace } from '../../workers/pace.ts'
import { directory, pairsOf, plainRecords, SegmentPile, updates } from './compaction-kit.ts'

/** Puts the checksum right after a change of the bytes. */
function sealed(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

const batchOf = (...pairs: string[]): Buffer =>
  encodeBatch({ records: updates(...pairs), timestampMs: 1_000 })

describe('a batch stays as it is, byte for byte,', () => {
  test('when all of its records stay', () => {
    const pile = new SegmentPile().add({ records: updates('a=1') })
    for (const codec of codecNames)
      pile.add({ records: updates(`${codec}=1`, `${codec}2=`), codec })
    pile.add({ records: updates('a=2') })
    const before = pile.batches()
    pile.compact()
    expect(pile.batches()).toEqual(before.slice(1))
  })

  test.each([
    ['a control batch', 0x20],
    ['a batch of a transaction', 0x10],
  ])('when it is %s, and it replaces nothing', (_, bit) => {
    const special = batchOf('a=2')
    special[22] |= bit
    const pile = new SegmentPile().addBytes([
      batchOf('a=1', 'b=1'),
      sealed(special),
      batchOf('b=2'),
    ])
    const before = pile.batches()
    pile.compact()
    expect(pile.batches().slice(1)).toEqual(before.slice(1))
    expect(pile.records()[0]).toMatchObject({ offset: 0, key: 'a', value: '1' })
  })

  test('when its records cannot be read: bad compression, bombs, lengths that lie', () => {
    const noGzip = encodeBatch({ records: updates('a=2'), codec: 'gzip' })
    noGzip.fill(0xff, 70)
    const value = Buffer.alloc(17 * 1024 * 1024)
    const bomb = encodeBatch({ records: [{ key: Buffer.from('a'), value }], codec: 'zstd' })
    const liar = batchOf('a=3')
    liar[61] += 2
    const trailing = Buffer.concat([batchOf('a=4'), Buffer.from([0])])
    trailing.writeInt32BE(trailing.length - 12, 8)
    const odd = [sealed(noGzip), bomb, sealed(liar), sealed(trailing)]
    const pile = new SegmentPile().addBytes([batchOf('a=1', 'b=1'), ...odd, batchOf('b=2')])
    const before = pile.batches()
    const output = pile.compact()
    expect(output.unreadableBatches).toBe(odd.length)
    const [first, ...rest] = pile.batches()
    expect(rest).toEqual(before.slice(1))
    expect(pairsOf(plainRecords(first))).toEqual(['0:a=1'])
  })

  test('when its times are beyond what can be written down', () => {
    const late = encodeBatch({ records: updates('a'), timestampMs: 2 ** 53 - 1 })
    const pile = new SegmentPile().addBytes([late])
    const before = pile.batches()
    expect(pile.compact().unreadableBatches).toBe(1)
    expect(pile.batches()).toEqual(before)
  })
})

test('records that leave take nothing else with them: offsets, sequences, codec, largest time', () => {
  for (const codec of codecNames) {
    const records = [
      { key: Buffer.from('a'), value: Buffer.from('1'), timestampMs: 9_000 },
      { key: Buffer.from('b'), value: Buffer.from('1'), timestampMs: 3_000 },
      { key: Buffer.from('c'), value: Buffer.from('1'), timestampMs: 8_000 },
    ]
    const idempotent = { producerId: 4, producerEpoch: 0, baseSequence: 17 }
    const pile = new SegmentPile()
    pile.addBytes([encodeBatch({ records, codec, ...idempotent }), batchOf('c=2', 'a=2')])
    pile.compact()
    const [batch] = pile.batches()
    expect(pairsOf(pile.records())).toEqual(['1:b=1', '3:c=2', '4:a=2'])
    expect(recordCountAt(batch, 0)).toBe(1)
    expect(lastOffsetDeltaAt(batch, 0)).toBe(2)
    expect(baseSequenceAt(batch, 0)).toBe(17)
    expect(codecNames[codecAt(batch, 0)]).toBe(codec)
    expect(maxTimestampAt(batch, 0)).toBe(3_000)
  }
})

describe('tombstones', () => {
  test('get a delete horizon when they are first compacted, and go when it has passed', () => {
    for (const codec of codecNames) {
      const pile = new SegmentPile().add({ records: updates('a=1', 'b=1') })
      const records = updates('a', 'c=1').map((record, at) => ({
        ...record,
        timestampMs: 500 + at,
      }))
      pile.addBytes([encodeBatch({ records, codec })])
      const times = pile.records().map(({ timestampMs }) => timestampMs)
      pile.compact()
      expect(pairsOf(pile.records())).toEqual(['1:b=1', '2:a', '3:c=1'])
      expect(pile.records().map(({ timestampMs }) => timestampMs)).toEqual(times.slice(1))
      const marked = pile.batches()[1]
      expect(hasDeleteHorizon(attributesAt(marked, 0))).toBe(true)
      expect(baseTimestampAt(marked, 0)).toBe(pile.nowMs + 1_000)
      expect(maxTimestampAt(marked, 0)).toBe(501)
      pile.nowMs += 999
      pile.add({ records: updates('d=1') }).compact()
      expect(pile.batches()[1]).toEqual(marked)
      pile.nowMs += 1
      pile.add({ records: updates('d=2') }).compact()
      expect(pairsOf(pile.records())).toEqual(['1:b=1', '3:c=1', '5:d=2'])
      expect(pile.records()[1].timestampMs).toBe(501)
    }
  })

  test('an empty value is none, and a newer value of the key makes it go at once', () => {
    const pile = new SegmentPile().add({ records: updates('a=', 'b', 'b=2', 'c=1', 'c') })
    pile.compact({ deleteRetentionMs: 0 })
    expect(pairsOf(pile.records())).toEqual(['0:a=', '2:b=2', '4:c'])
    pile.add({ records: updates('z=1') })
    pile.compact()
    expect(pairsOf(pile.records())).toEqual(['0:a=', '2:b=2', '5:z=1'])
  })

  test('stay for ever where the config says so', () => {
    const pile = new SegmentPile().add({ records: updates('a') })
    pile.compact({ deleteRetentionMs: Number.POSITIVE_INFINITY })
    pile.nowMs = 2 ** 45
    pile.add({ records: updates('z=1') }).compact()
    expect(pairsOf(pile.records())).toEqual(['0:a', '1:z=1'])
  })

  test.each([
    ['of a transaction', 0x10],
    ['that cannot be read', 0x07],
  ])('stay while older records of their key may lie in a batch %s', (_, bits) => {
    const unseen = batchOf('a=1')
    unseen[22] |= bits
    const pile = new SegmentPile().addBytes([sealed(unseen)]).add({ records: updates('a', 'b') })
    pile.compact()
    pile.nowMs += 10_000
    pile.add({ records: updates('z=1') }).compact()
    expect(
      pile
        .batches()
        .slice(1)
        .flatMap(plainRecords)
        .map(({ key }) => key),
    ).toEqual(['a', 'b', 'z'])
  })

  test('of the broker`s own time keep it', () => {
    const batch = encodeBatch({ records: updates('a', 'b=1', 'c=1'), timestampMs: 7 })
    stampLogAppendTime(batch, 4_000)
    const pile = new SegmentPile().addBytes([batch]).add({ records: updates('c=2') })
    pile.compact()
    expect(isLogAppendTime(attributesAt(pile.batches()[0], 0))).toBe(true)
    expect(pile.records().map(({ timestampMs }) => timestampMs)).toEqual([4_000, 4_000, 1_000])
  })
})

test('an empty batch keeps what its producer is known by', () => {
  const idempotent = { producerId: 4, producerEpoch: 0, baseSequence: 17 }
  const pile = new SegmentPile()
  pile.addBytes([
    encodeBatch({ records: updates('a=1', 'b=1'), codec: 'zstd', timestampMs: 77, ...idempotent }),
    encodeBatch({ records: updates('a=2', 'b=2'), ...idempotent, baseSequence: 19 }),
    batchOf('a=3', 'b=3'),
  ])
  pile.compact({ remembered: Float64Array.of(0) })
  const [empty, last] = pile.batches()
  expect(empty).toHaveLength(61)
  expect(recordCountAt(empty, 0)).toBe(0)
  expect(lastOffsetDeltaAt(empty, 0)).toBe(1)
  expect(baseSequenceAt(empty, 0)).toBe(17)
  expect(codecAt(empty, 0)).toBe(0)
  expect(maxTimestampAt(empty, 0)).toBe(77)
  expect(recordCountAt(last, 0)).toBe(2)
  pile.add({ records: updates('z=1') }).compact()
  expect(pile.batches()).toHaveLength(2)
})

test('what a segment holds beyond the start of the next one is not its own', () => {
  // A tail was copied forward, and a power cut took back the cut of the old file; some of it was never of the log.
  const pile = new SegmentPile()
    .add({ records: updates('a=1', 'b=1') })
    .add({ records: updates('c=2') }, { records: updates('d=3') })
    .add({ records: updates('a=4') })
  const [first, second] = pile.sources
  const copied = pile.disk.bytesOf(pile.path(second.baseOffset))
  const bytes = Buffer.concat([pile.disk.bytesOf(pile.path(0)), copied, Buffer.alloc(100, 'torn')])
  pile.disk.setBytes(pile.path(0), bytes)
  pile.sources[0] = { ...first, sizeBytes: bytes.length }
  pile.compact()
  expect(pairsOf(pile.records())).toEqual(['1:b=1', '2:c=2', '3:d=3', '4:a=4'])
})

test('what fails leaves nothing behind', () => {
  let isDone = false
  let failing = 1
  for (; !isDone; failing++) {
    const pile = new SegmentPile()
    for (let round = 0; round < 5; round++) pile.add({ records: updates(`a=${round}`, 'b=1') })
    const names = pile.disk.list(directory)
    let operations = 0
    pile.disk.onOperation = ({ kind }) =>
      kind !== 'unlink' && ++operations === failing ? { code: 'EIO' } : null
    try {
      compactSegments(pile.disk, pile.input({ segmentBytesMax: 200 }))
      isDone = operations < failing
    } catch (error) {
      expect(error).toMatchObject({ code: 'EIO' })
      pile.disk.onOperation = () => null
      expect(pile.disk.list(directory)).toEqual(names)
    }
  }
  expect(failing).toBeGreaterThan(20)
})

describe('the key map', () => {
  test('tells keys apart, knows its bounds, and keeps the newest offset', () => {
    const map = new KeyMap(32 * 1_000, Number.POSITIVE_INFINITY)
    expect(map.keysMax).toBe(1_000)
    for (let key = 0; key < 1_000; key++) expect(map.put(Buffer.from(`k${key}`), key)).toBe(true)
    expect(map.put(Buffer.from('one more'), 5_000)).toBe(false)
    expect(map.put(Buffer.from('k7'), 6_000)).toBe(true)
    expect(map.put(Buffer.from('k7'), 5_000)).toBe(true)
    expect(map.size).toBe(1_000)
    for (let key = 8; key < 1_000; key++) expect(map.offsetOf(Buffer.from(`k${key}`))).toBe(key)
    expect(map.offsetOf(Buffer.from('k7'))).toBe(6_000)
    expect(map.offsetOf(Buffer.from('one more'))).toBe(-1)
    expect(map.offsetOf(Buffer.alloc(0))).toBe(-1)
  })

  test('is no larger than the keys there can be', () => {
    expect(new KeyMap(2 ** 30, 3).keysMax).toBe(3)
    expect(new KeyMap(1, 3).keysMax).toBe(1)
  })
})

test('a task sleeps as long as its rate demands', () => {
  const pace = sleepingPace(10_000_000)
  const startMs = performance.now()
  for (let chunk = 0; chunk < 30; chunk++) pace(100_000)
  expect(performance.now() - startMs).toBeGreaterThan(180)
})
