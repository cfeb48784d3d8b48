import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nextOffsetAfter, RecordCursor } from '../../src/client/record-cursor.ts'
import { codecNames } from '../../src/protocol/compression.ts'
import { Errors, KafkaError } from '../../src/protocol/errors.ts'
import {
  encodeBatch,
  patchAppend,
  type RecordToEncode,
  stampLogAppendTime,
} from '../../src/protocol/record-batch.ts'
import { batches, type LogRecord, records } from '../../src/protocol/records.ts'

type Sample<A> = A extends fc.Arbitrary<infer T> ? T : never

const nullableBytes = fc.option(
  fc.uint8Array({ maxLength: 200 }).map(bytes => Buffer.from(bytes)),
  { nil: null },
)
const record = fc.record({
  key: nullableBytes,
  value: nullableBytes,
  timestampMs: fc.integer({ min: 0, max: 2 ** 45 }),
  headers: fc.array(fc.tuple(fc.string({ maxLength: 9 }), nullableBytes), { maxLength: 2 }),
})
const blobs = fc.array(
  fc.record({
    records: fc.array(record, { minLength: 1, maxLength: 12 }),
    codec: fc.constantFrom(...codecNames),
    gap: fc.nat(3),
  }),
  { minLength: 1, maxLength: 6 },
)

/** Batches with offsets from `baseOffset` on, gaps as compaction leaves them. */
function blobOf(parts: Sample<typeof blobs>, baseOffset = 0): Buffer {
  let offset = baseOffset
  return Buffer.concat(
    parts.map(({ records: all, codec, gap }) => {
      const batch = encodeBatch({ records: all as RecordToEncode[], codec })
      patchAppend(batch, offset + gap, 0)
      offset += gap + all.length
      return batch
    }),
  )
}

function readAll(cursor: RecordCursor): LogRecord[] {
  const read: LogRecord[] = []
  while (cursor.advance()) {
    read.push({
      offset: cursor.offset,
      timestampMs: cursor.timestampMs,
      key: cursor.key(),
      value: cursor.value(),
      headers: cursor.headers(),
    })
  }
  return read
}

const iterated = (blob: Buffer): LogRecord[] => [...batches(blob)].flatMap(one => [...records(one)])

describe('RecordCursor', () => {
  test('reads what the protocol iterator reads, in all codecs', () => {
    fc.assert(
      fc.property(blobs, parts => {
        const blob = blobOf(parts)
        expect(readAll(new RecordCursor().reset(blob))).toEqual(iterated(blob))
      }),
    )
  })

  test('gives the records between two offsets, also when both lie inside batches', () => {
    fc.assert(
      fc.property(blobs, fc.nat(70), fc.nat(70), (parts, a, b) => {
        const [from, until] = [Math.min(a, b), Math.max(a, b)]
        const blob = blobOf(parts)
        const expected = iterated(blob).filter(({ offset }) => offset >= from && offset < until)
        expect(readAll(new RecordCursor().reset(blob, from, until))).toEqual(expected)
      }),
    )
  })

  test('leaves out a batch that is cut short, wherever the cut is', () => {
    const parts = fc.sample(blobs, { numRuns: 1, seed: 7 })[0].map(one => ({ ...one, gap: 0 }))
    const whole = blobOf(parts)
    for (let length = 0; length <= whole.length; length++) {
      const cut = whole.subarray(0, length)
      const expected = iterated(cut)
      expect(readAll(new RecordCursor().reset(cut))).toEqual(expected)
      expect(nextOffsetAfter(cut)).toBe(expected.length === 0 ? -1 : expected.at(-1)!.offset + 1)
    }
  })

  test('one changed byte is found by the CRC, unless it is outside of it', () => {
    const blob = encodeBatch({ records: [{ key: Buffer.from('k'), value: Buffer.from('value') }] })
    for (let at = 21; at < blob.length; at++) {
      const changed = Buffer.from(blob)
      changed[at] ^= 0x10
      expect(() => readAll(new RecordCursor().reset(changed)), `byte ${at}`).toThrow(
        expect.objectContaining({ code: Errors.CORRUPT_MESSAGE }),
      )
    }
  })

  test('no byte of a hostile batch makes it fail other than by CORRUPT_MESSAGE', () => {
    fc.assert(
      fc.property(blobs, fc.nat(), fc.constantFrom(0, 0x7f, 0x80, 0xff), (parts, at, value) => {
        const blob = blobOf(parts)
        blob[at % blob.length] = value
        try {
          readAll(new RecordCursor({ checkCrc: false, decompressedBytesMax: 1 << 20 }).reset(blob))
        } catch (error) {
          expect(error).toBeInstanceOf(KafkaError)
          expect((error as KafkaError).code).toBe(Errors.CORRUPT_MESSAGE)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('a compressed batch may not grow beyond the limit', () => {
    const value = Buffer.alloc(1 << 20)
    const bomb = encodeBatch({ records: [{ key: null, value }], codec: 'gzip' })
    expect(bomb.length).toBeLessThan(5000)
    expect(() => readAll(new RecordCursor({ decompressedBytesMax: 1 << 19 }).reset(bomb))).toThrow(
      expect.objectContaining({ code: Errors.CORRUPT_MESSAGE }),
    )
    expect(readAll(new RecordCursor().reset(bomb))).toHaveLength(1)
  })

  test('with LogAppendTime every record has the time of the broker', () => {
    const batch = encodeBatch({
      records: [1, 2].map(timestampMs => ({ key: null, value: null, timestampMs })),
    })
    stampLogAppendTime(batch, 777)
    const times = readAll(new RecordCursor().reset(batch)).map(one => one.timestampMs)
    expect(times).toEqual([777, 777])
  })
})
