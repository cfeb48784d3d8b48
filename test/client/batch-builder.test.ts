import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BatchBuilder, type Headers, stamp } from '../../src/client/batch-builder.ts'
import { codecNames } from '../../src/protocol/compression.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  analyzeBatch,
  baseSequenceAt,
  encodeBatch,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
} from '../../src/protocol/record-batch.ts'
import { records } from '../../src/protocol/records.ts'

const bytes = fc.uint8Array({ maxLength: 300 })
type Sample<A> = A extends fc.Arbitrary<infer T> ? T : never

const nullableBytes = fc.option(bytes, { nil: null })
const record = fc.record({
  key: nullableBytes,
  value: nullableBytes,
  timestampMs: fc.integer({ min: 0, max: 2 ** 45 }),
  headers: fc.array(fc.tuple(fc.string({ maxLength: 20 }), nullableBytes), { maxLength: 3 }),
})
const manyRecords = fc.array(record, { minLength: 1, maxLength: 40 })

function build(all: Sample<typeof manyRecords>): BatchBuilder {
  const builder = new BatchBuilder()
  for (const { key, value, timestampMs, headers } of all) {
    builder.append(key, value, timestampMs, headers as Headers)
  }
  return builder
}

describe('BatchBuilder', () => {
  test('writes the bytes that the protocol encoder writes', () => {
    fc.assert(
      fc.property(manyRecords, all => {
        const expected = encodeBatch({ records: all as never })
        expect(build(all).finish('none')).toEqual(expected)
      }),
    )
  })

  test.each(codecNames)('a broker finds a %s batch valid and reads the same records', codec => {
    fc.assert(
      fc.property(manyRecords, all => {
        const batch = build(all).finish(codec)
        expect(analyzeBatch(batch, { batchBytesMax: 1 << 20, apiVersion: 9 })).toBe(Errors.NONE)
        const read = [...records(batch)].map(({ key, value, timestampMs, headers }) => ({
          key: key && new Uint8Array(key),
          value: value && new Uint8Array(value),
          timestampMs,
          headers: headers.map(([name, bytes]) => [name, bytes && new Uint8Array(bytes)]),
        }))
        expect(read).toEqual(all)
        expect(maxTimestampAt(batch, 0)).toBe(Math.max(...all.map(one => one.timestampMs)))
      }),
      { numRuns: 25 },
    )
  })

  test('text is UTF-8, a lone surrogate the replacement character', () => {
    const builder = new BatchBuilder()
    builder.append('ключ', 'naïve 🧵 \ud800', 1, [['h', 'ä']])
    const [read] = records(builder.finish('none'))
    expect(String(read.key)).toBe('ключ')
    expect(String(read.value)).toBe('naïve 🧵 \ufffd')
    expect(String(read.headers[0][1])).toBe('ä')
  })

  test('a slice becomes the same record as its copy', () => {
    fc.assert(
      fc.property(bytes, fc.nat(300), fc.nat(300), (source, a, b) => {
        const [start, end] = [
          Math.min(a, b, source.length),
          Math.min(Math.max(a, b), source.length),
        ]
        const [sliced, copied] = [new BatchBuilder(), new BatchBuilder()]
        for (let i = 0; i < 20; i++) {
          sliced.appendSlice(Buffer.from(source), start, end, 1000 + i)
          copied.append(null, source.slice(start, end), 1000 + i)
        }
        expect(sliced.finish('none')).toEqual(copied.finish('none'))
      }),
    )
  })

  test('memory given back by one batch carries nothing into the next', () => {
    const first = new BatchBuilder()
    for (let i = 0; i < 100; i++) first.append('key', 'a long value that fills the memory', i)
    first.finish('none')
    const again = new BatchBuilder(first.release())
    const fresh = new BatchBuilder()
    for (const builder of [again, fresh]) builder.append(null, 'x', 5)
    expect(again.finish('none')).toEqual(fresh.finish('none'))
  })

  test('stamping sets producer fields and leaves a valid batch', () => {
    const builder = new BatchBuilder()
    builder.append(null, 'v', 1)
    const batch = builder.finish('none')
    stamp(batch, 2 ** 40 + 7, 12, 0x7fff_fff0)
    expect(producerIdAt(batch, 0)).toBe(2 ** 40 + 7)
    expect(producerEpochAt(batch, 0)).toBe(12)
    expect(baseSequenceAt(batch, 0)).toBe(0x7fff_fff0)
    expect(analyzeBatch(batch, { batchBytesMax: 1 << 20, apiVersion: 9 })).toBe(Errors.NONE)
  })
})
