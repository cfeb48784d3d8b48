/** Batches: made, checked, patched and read back; against kafkajs' encoder and decoder, and against hostile bytes. */
import { createRequire } from 'node:module'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../src/protocol/bytes.ts'
import { codecNames } from '../../src/protocol/compression.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import * as batchHeader from '../../src/protocol/record-batch.ts'
import {
  analyzeBatch,
  encodeBatch,
  patchAppend,
  type RecordToEncode,
  stampLogAppendTime,
} from '../../src/protocol/record-batch.ts'
import { batches, records } from '../../src/protocol/records.ts'

const require = createRequire(import.meta.url)
const limits = { batchBytesMax: 1_048_588, apiVersion: 9 }
const text = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes).toString())

const record = (value: string): RecordToEncode => ({ key: null, value: Buffer.from(value) })
const threeRecords = { records: ['a', 'b', 'c'].map(record), timestampMs: 1_700_000_000_000 }

/** Changes bytes under the CRC and makes the CRC fit again. */
function changed(bytes: Uint8Array, change: (bytes: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes)
  change(copy)
  copy.writeUInt32BE(crc32c(copy.subarray(21)), 17)
  return copy
}

test('encodeBatch makes the bytes Kafka would write', () => {
  const bytes = encodeBatch({
    records: [{ key: Buffer.from('k'), value: null, headers: [['h', Buffer.from('v')]] }],
    timestampMs: 0x0102_0304,
    producerId: 5,
    producerEpoch: 6,
    baseSequence: 7,
  })
  // 12 + 49 + record: length 11, attributes, ts delta 0, offset delta 0, key "k", null, 1 header "h" -> "v"
  expect(bytes.toString('hex')).toBe(
    [
      '0000000000000000',
      '0000003d',
      'ffffffff02',
      bytes.subarray(17, 21).toString('hex'),
      '000000000000',
      '0000000001020304'.repeat(2),
      '0000000000000005',
      '0006',
      '00000007',
      '00000001',
      '16000000026b010202680276',
    ].join(''),
  )
  expect(crc32c(bytes.subarray(21))).toBe(bytes.readUInt32BE(17))
})

test('a header reads field by field by position, also behind other bytes', () => {
  const bytes = encodeBatch({
    ...threeRecords,
    producerId: 2 ** 40,
    producerEpoch: 3,
    baseSequence: 9,
  })
  patchAppend(bytes, 2 ** 45 + 1, 77)
  const at = 13
  const log = Buffer.concat([Buffer.alloc(at, 0xee), bytes, Buffer.alloc(9, 0xee)])
  const header = Object.entries(batchHeader)
    .filter(([name]) => name.endsWith('At'))
    .map(([name, read]) => [name, (read as (b: Uint8Array, pos: number) => number)(log, at)])
  expect(Object.fromEntries(header)).toEqual({
    baseOffsetAt: 2 ** 45 + 1,
    batchBytesAt: bytes.length,
    leaderEpochAt: 77,
    magicAt: 2,
    crcAt: crc32c(bytes.subarray(21)),
    attributesAt: 0,
    lastOffsetDeltaAt: 2,
    lastOffsetAt: 2 ** 45 + 3,
    baseTimestampAt: 1_700_000_000_000,
    maxTimestampAt: 1_700_000_000_000,
    producerIdAt: 2 ** 40,
    producerEpochAt: 3,
    baseSequenceAt: 9,
    recordCountAt: 3,
    codecAt: 0,
  })
  expect(batchHeader.isCrcValid(log, at, bytes.length)).toBe(true)
})

const blob = fc.option(fc.uint8Array({ maxLength: 300 }))
const anyRecord = fc.record({
  key: blob,
  value: blob,
  headers: fc.array(fc.tuple(fc.string({ maxLength: 80 }), blob), { maxLength: 3 }),
  timestampMs: fc.oneof(fc.nat(2 ** 31), fc.integer({ min: 0, max: 2 ** 52 })),
})

test.each(codecNames)('a batch gives its records back through %s', codec => {
  fc.assert(
    fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 20 }), list => {
      const bytes = encodeBatch({ records: list as RecordToEncode[], codec })
      expect(errorName(analyzeBatch(bytes, limits))).toBe('NONE')
      patchAppend(bytes, 1000, 0)
      const read = [...records(bytes)].map(({ offset, timestampMs, key, value, headers }) => ({
        offset,
        timestampMs,
        key: key && [...key],
        value: value && [...value],
        headers: headers.map(([name, content]) => [name, content && [...content]]),
      }))
      const wanted = list.map(({ timestampMs, key, value, headers }, i) => ({
        offset: 1000 + i,
        timestampMs,
        key: key && [...key],
        value: value && [...value],
        headers: headers.map(([name, content]) => [name.toWellFormed(), content && [...content]]),
      }))
      expect(read).toEqual(wanted)
      const maxTimestamp = Math.max(...list.map(({ timestampMs }) => timestampMs))
      expect(batchHeader.maxTimestampAt(bytes, 0)).toBe(maxTimestamp)
    }),
    { numRuns: 50 },
  )
})

const good = encodeBatch(threeRecords)

test('analyzeBatch accepts what clients send, also with epoch and sequence but no producer id', () => {
  const kafkajsLike = { ...threeRecords, producerId: -1, producerEpoch: 0, baseSequence: 0 }
  const idempotent = {
    ...threeRecords,
    producerId: 9,
    producerEpoch: 0,
    baseSequence: 2 ** 31 - 1,
  }
  for (const batch of [threeRecords, kafkajsLike, idempotent]) {
    expect(analyzeBatch(encodeBatch(batch), limits)).toBe(Errors.NONE)
  }
  expect(analyzeBatch(good, { ...limits, batchBytesMax: good.length })).toBe(Errors.NONE)
})

const cases: [what: string, bytes: Uint8Array, error: keyof typeof Errors][] = [
  ['nothing', Buffer.alloc(0), 'INVALID_RECORD'],
  ['16 bytes', good.subarray(0, 16), 'INVALID_RECORD'],
  ['a batch cut short', good.subarray(0, good.length - 1), 'INVALID_RECORD'],
  ['a header cut short', good.subarray(0, 60), 'INVALID_RECORD'],
  ['two batches', Buffer.concat([good, good]), 'INVALID_RECORD'],
  ['a byte behind the batch', Buffer.concat([good, Buffer.alloc(1)]), 'INVALID_RECORD'],
  ['a length below the header', changed(good, b => b.writeInt32BE(48, 8)), 'CORRUPT_MESSAGE'],
  ['a negative length', changed(good, b => b.writeInt32BE(-1, 8)), 'CORRUPT_MESSAGE'],
  ['the least length', changed(good, b => b.writeInt32BE(-(2 ** 31), 8)), 'INVALID_RECORD'],
  ['the largest length', changed(good, b => b.writeInt32BE(2 ** 31 - 1, 8)), 'INVALID_RECORD'],
  ['magic 0', changed(good, b => b.writeInt8(0, 16)), 'INVALID_RECORD'],
  ['magic 1', changed(good, b => b.writeInt8(1, 16)), 'INVALID_RECORD'],
  ['magic 3', changed(good, b => b.writeInt8(3, 16)), 'INVALID_RECORD'],
  ['a base offset', changed(good, b => b.writeBigInt64BE(1n, 0)), 'INVALID_RECORD'],
  ['base offset -1', changed(good, b => b.writeBigInt64BE(-1n, 0)), 'INVALID_RECORD'],
  ['codec 5', changed(good, b => b.writeInt16BE(5, 21)), 'UNSUPPORTED_COMPRESSION_TYPE'],
  ['the log-append-time bit', changed(good, b => b.writeInt16BE(8, 21)), 'INVALID_TIMESTAMP'],
  ['the transactional bit', changed(good, b => b.writeInt16BE(16, 21)), 'INVALID_TXN_STATE'],
  ['the control bit', changed(good, b => b.writeInt16BE(32, 21)), 'INVALID_RECORD'],
  ['the delete-horizon bit', changed(good, b => b.writeInt16BE(64, 21)), 'INVALID_RECORD'],
  ['no records', changed(good, b => b.writeInt32BE(0, 57)), 'INVALID_RECORD'],
  ['a negative count', changed(good, b => b.writeInt32BE(-1, 57)), 'INVALID_RECORD'],
  ['a count that is not the delta', changed(good, b => b.writeInt32BE(2, 57)), 'INVALID_RECORD'],
  ['a delta that is not the count', changed(good, b => b.writeInt32BE(3, 23)), 'INVALID_RECORD'],
  [
    'more records than bytes',
    changed(good, b => {
      b.writeInt32BE(99, 23)
      b.writeInt32BE(100, 57)
    }),
    'INVALID_RECORD',
  ],
  [
    'a timestamp of 2^63-1',
    changed(good, b => b.writeBigInt64BE(2n ** 63n - 1n, 35)),
    'INVALID_TIMESTAMP',
  ],
  [
    'a base timestamp of -2^63',
    changed(good, b => b.writeBigInt64BE(-(2n ** 63n), 27)),
    'INVALID_TIMESTAMP',
  ],
  ['a producer id of 2^62', changed(good, b => b.writeBigInt64BE(2n ** 62n, 43)), 'INVALID_RECORD'],
  [
    'a producer without sequence',
    encodeBatch({ ...threeRecords, producerId: 1, producerEpoch: 0 }),
    'INVALID_RECORD',
  ],
  [
    'a producer without epoch',
    encodeBatch({ ...threeRecords, producerId: 1, baseSequence: 0 }),
    'INVALID_RECORD',
  ],
]
test.each(cases)('analyzeBatch refuses %s', (_, bytes, error) => {
  expect(errorName(analyzeBatch(bytes, limits))).toBe(error)
})

test('analyzeBatch refuses any flipped bit under the CRC', () => {
  for (let bit = 21 * 8; bit < good.length * 8; bit++) {
    const bytes = Buffer.from(good)
    bytes[bit >> 3] ^= 1 << (bit & 7)
    expect(analyzeBatch(bytes, limits), `bit ${bit}`).not.toBe(Errors.NONE)
  }
})

test('analyzeBatch refuses zstd before Produce 7, and transactions by the code of the version', () => {
  const zstd = encodeBatch({ ...threeRecords, codec: 'zstd' })
  expect(analyzeBatch(zstd, { ...limits, apiVersion: 6 })).toBe(Errors.UNSUPPORTED_COMPRESSION_TYPE)
  expect(analyzeBatch(zstd, { ...limits, apiVersion: 7 })).toBe(Errors.NONE)
  const transactional = changed(good, b => b.writeInt16BE(16, 21))
  const v11 = { ...limits, apiVersion: 11 }
  expect(analyzeBatch(transactional, v11)).toBe(Errors.TRANSACTION_ABORTABLE)
})

test('analyzeBatch refuses a batch one byte above the limit', () => {
  const tight = { ...limits, batchBytesMax: good.length - 1 }
  expect(analyzeBatch(good, tight)).toBe(Errors.MESSAGE_TOO_LARGE)
})

test('analyzeBatch never throws, whatever the bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), bytes => {
      expect(errorName(analyzeBatch(bytes, limits))).not.toContain('ERROR_')
    }),
  )
})

test('log append time: bit and time set, CRC fits, every record reads as that time', () => {
  const bytes = encodeBatch(threeRecords)
  stampLogAppendTime(bytes, 1_800_000_000_123)
  expect(batchHeader.isCrcValid(bytes, 0, bytes.length)).toBe(true)
  expect(batchHeader.isLogAppendTime(batchHeader.attributesAt(bytes, 0))).toBe(true)
  expect([...records(bytes)].map(r => r.timestampMs)).toEqual(Array(3).fill(1_800_000_000_123))
})

describe('iterating', () => {
  test('batches yields whole batches and leaves a cut one out', () => {
    const one = encodeBatch(threeRecords)
    const two = encodeBatch({ records: [record('d')] })
    const log = Buffer.concat([one, two, one.subarray(0, 70)])
    expect([...batches(log)].map(b => b.length)).toEqual([one.length, two.length])
    expect([...batches(Buffer.alloc(0))]).toEqual([])
    const short = changed(one, b => b.writeInt32BE(10, 8))
    expect(() => [...batches(short)]).toThrow(ProtocolError)
  })

  test('a compacted batch keeps its offsets', () => {
    const bytes = changed(encodeBatch({ records: [record('x')] }), b => b.writeInt32BE(6, 23))
    expect([...records(bytes)].map(r => text(r.value))).toEqual(['x'])
  })

  // length 11, attributes, timestamp delta, offset delta, key "k", value "v", one header "h" -> null
  const body = '000000026b027602026801'
  test.each([
    ['the record as it should be', `16${body}`, null],
    ['a length one too short', `14${body}`, 'record length does not match'],
    ['a length one too long', `18${body}00`, 'record length does not match'],
    ['a length behind the batch', `7e${body}`, 'record length'],
    ['a negative length', `15${body}`, 'record length'],
    ['a key behind its record', `160000007e6b027602026801${'00'.repeat(90)}`, 'field'],
    ['a key of length -2', '16000000036b027602026801', 'field'],
    ['a negative offset delta', '16000001026b027602026801', 'offset delta'],
    ['an offset behind the last', '16000002026b027602026801', 'offset delta'],
    ['more headers than bytes', '16000000026b02767e026801', 'header count'],
    ['a negative number of headers', '16000000026b027603026801', 'header count'],
    ['a header without a key', '16000000026b027602016801', 'header without a key'],
  ])('%s', (_, hex, error) => {
    const header = encodeBatch({ records: [record('')] }).subarray(0, 61)
    const bytes = changed(Buffer.concat([header, Buffer.from(hex, 'hex')]), b =>
      b.writeInt32BE(b.length - 12, 8),
    )
    const read = () => [...records(bytes)].map(r => [text(r.key), text(r.value), r.headers[0][0]])
    if (error === null) expect(read()).toEqual([['k', 'v', 'h']])
    else expect(read).toThrow(new RegExp(`^${error}`))
  })

  test.each(codecNames)('mutated %s batches give records or a ProtocolError', codec => {
    const list = Array.from({ length: 40 }, (_, i) => record(`value ${i} ${'x'.repeat(i)}`))
    const good = encodeBatch({ records: list, codec })
    const edits = fc.array(fc.tuple(fc.integer({ min: 57, max: good.length - 1 }), fc.nat(255)), {
      minLength: 1,
      maxLength: 5,
    })
    fc.assert(
      fc.property(edits, changes => {
        const bytes = Buffer.from(good)
        for (const [at, byte] of changes) bytes[at] = byte
        try {
          for (const { offset } of records(bytes)) expect(offset).toBeLessThan(40)
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError)
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('kafkajs agrees', () => {
  const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0/index.js')
  const kafkajsRecord = require('kafkajs/src/protocol/recordBatch/record/v0/index.js')
  const decodeBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js')
  const Decoder = require('kafkajs/src/protocol/decoder.js')
  const time = 1_700_000_000_000

  test.each([
    ['none', 0],
    ['gzip', 1],
  ] as const)('its batch is accepted and read (%s)', async (_, compression) => {
    const { buffer } = await RecordBatch({
      compression,
      firstTimestamp: time,
      maxTimestamp: time + 5,
      lastOffsetDelta: 1,
      records: [
        kafkajsRecord({
          offsetDelta: 0,
          timestampDelta: 0,
          key: Buffer.from('k'),
          value: Buffer.from('v'),
        }),
        kafkajsRecord({
          offsetDelta: 1,
          timestampDelta: 5,
          key: null,
          value: Buffer.from('w'),
          headers: { a: 'b' },
        }),
      ],
    })
    expect(errorName(analyzeBatch(buffer, limits))).toBe('NONE')
    const read = [...records(buffer)]
    expect(read.map(r => [r.offset, r.timestampMs, text(r.key), text(r.value)])).toEqual([
      [0, time, 'k', 'v'],
      [1, time + 5, null, 'w'],
    ])
    expect(read[1].headers.map(([name, value]) => [name, text(value)])).toEqual([['a', 'b']])
  })

  test.each(['none', 'gzip'] as const)('it reads our batch (%s)', async codec => {
    const bytes = encodeBatch({
      codec,
      records: [
        { key: Buffer.from('k'), value: Buffer.from('v'), timestampMs: time },
        { key: null, value: null, timestampMs: time - 3, headers: [['a', Buffer.from('b')]] },
      ],
    })
    const { records: read } = await decodeBatch(new Decoder(bytes))
    expect(
      read.map((r: { offset: string; timestamp: string; key: Buffer; value: Buffer }) => [
        r.offset,
        r.timestamp,
        r.key && text(r.key),
        r.value && text(r.value),
      ]),
    ).toEqual([
      ['0', `${time}`, 'k', 'v'],
      ['1', `${time - 3}`, null, null],
    ])
    expect(read[1].headers.a.toString()).toBe('b')
  })
})
