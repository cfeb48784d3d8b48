/**
 * Rules on records that a topic's configs demand: keys where it is compacted, timestamps within bounds. Refused batches
 * leave no trace, and the answer names the first bad record.
 */
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import type { CodecName } from '../../src/protocol/compression.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  type BatchToEncode,
  encodeBatch,
  type RecordToEncode,
} from '../../src/protocol/record-batch.ts'
import {
  connect,
  createTopic,
  fetchRow,
  lookUp,
  produce,
  readAll,
  recordsOf,
  sharedBroker,
  store,
} from './fixture.ts'

const broker = sharedBroker()
const codecs: CodecName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
const hourMs = 3_600_000
const compacted = { 'cleanup.policy': 'compact' }

function keyed(keys: readonly (string | null)[], rest: Partial<BatchToEncode> = {}): Buffer {
  const records = keys.map((key, i) => ({
    key: key === null ? null : Buffer.from(key),
    value: Buffer.from(`value ${i}`),
  }))
  return encodeBatch({ ...rest, records })
}

function timed(offsetsMs: readonly number[], rest: Partial<BatchToEncode> = {}): Buffer {
  const nowMs = Date.now()
  const records: RecordToEncode[] = offsetsMs.map(offsetMs => ({
    key: Buffer.from('k'),
    value: null,
    timestampMs: nowMs + offsetMs,
  }))
  return encodeBatch({ ...rest, records })
}

/** The CRC made right again, so that only what was changed is wrong. */
function sealed(batch: Buffer): Buffer {
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** A batch of `count` records whose compressed body is these bytes. */
function gzipped(plain: Uint8Array, count: number): Buffer {
  const header = keyed(['k'], { codec: 'gzip' }).subarray(0, 61)
  const batch = Buffer.concat([header, gzipSync(plain)])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeInt32BE(count - 1, 23)
  batch.writeInt32BE(count, 57)
  return sealed(batch)
}

/** One record that takes so much once it is decompressed. */
const large = (mib: number) =>
  encodeBatch({
    codec: 'gzip',
    records: [{ key: Buffer.from('k'), value: Buffer.alloc(mib * 1024 * 1024) }],
  })

async function endOf(client: Awaited<ReturnType<typeof connect>>, topic: string) {
  return (await lookUp(client, topic, -1)).offset
}

describe('a compacted topic', () => {
  test.each(codecs)('takes records with keys, also tombstones and empty keys: %s', async codec => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: compacted })
    await store(client, topic, keyed(['a', '', 'c'], { codec }))
    await store(
      client,
      topic,
      encodeBatch({ codec, records: [{ key: Buffer.of(0), value: null }] }),
    )
    const keys = (await readAll(client, topic)).map(({ key }) => String(key))
    expect(keys).toEqual(['a', '', 'c', '\0'])
  })

  test.each(codecs)('refuses a batch with a record that has none: %s', async codec => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: { 'cleanup.policy': 'compact,delete' } })
    const row = await produce(client, topic, keyed(['a', 'b', null, 'd', null], { codec }))
    expect(row).toMatchObject({
      errorCode: Errors.INVALID_RECORD,
      baseOffset: -1,
      errorMessage: 'One or more records have been rejected',
      recordErrors: [
        {
          batchIndex: 2,
          batchIndexErrorMessage: 'Compacted topic cannot accept message without key.',
        },
      ],
    })
    expect(await endOf(client, topic)).toBe(0)
  })

  test('says so to every version as well as the version can, and stores nothing under acks=1', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: compacted })
    for (let version = 3; version <= 11; version++) {
      const row = await produce(client, topic, keyed([null]), { version, acks: 1 })
      expect(row.errorCode).toBe(Errors.INVALID_RECORD)
      expect(row.recordErrors).toHaveLength(version >= 8 ? 1 : 0)
    }
    expect(await endOf(client, topic)).toBe(0)
  })

  test('other batches of the same request and turn are not touched', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: compacted })
    const rows = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        produce(client, topic, keyed([i % 3 === 1 ? null : `k${i}`])),
      ),
    )
    const good = rows.filter(({ errorCode }) => errorCode === Errors.NONE)
    expect(good.map(({ baseOffset }) => baseOffset)).toEqual(good.map((_, i) => i))
    expect(rows.filter(({ recordErrors }) => recordErrors.length === 1)).toHaveLength(7)
    expect(await endOf(client, topic)).toBe(13)
  })

  test('a refused batch of an idempotent producer does not count as sent', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: compacted })
    const sent = (key: string | null, baseSequence: number) =>
      produce(client, topic, keyed([key], { producerId: 4711, producerEpoch: 0, baseSequence }))
    expect((await sent('a', 0)).errorCode).toBe(Errors.NONE)
    expect((await sent(null, 1)).errorCode).toBe(Errors.INVALID_RECORD)
    expect((await sent('b', 2)).errorCode).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(await sent('b', 1)).toMatchObject({ errorCode: Errors.NONE, baseOffset: 1 })
    expect(await sent('a', 0), 'a duplicate').toMatchObject({ baseOffset: 0 })
  })

  test('refuses bodies that are no records, without blaming one', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: compacted })
    const plain = keyed(['a', 'b'])
    const body = plain.subarray(61)
    const secondDelta = body.length / 2 + 3
    expect(body[secondDelta], 'offset delta 1 as a varint').toBe(2)
    const mislabelled = Buffer.from(plain)
    mislabelled.writeInt16BE(1, 21)
    const bad: [string, Buffer][] = [
      ['no gzip at all', sealed(mislabelled)],
      ['cut short', gzipped(body.subarray(0, body.length - 3), 2)],
      ['a count that is a lie', gzipped(body, 3)],
      ['the same offset twice', gzipped(body.with(secondDelta, 0), 2)],
      ['more than 16 MiB', large(17)],
    ]
    for (const [what, batch] of bad) {
      const row = await produce(client, topic, batch)
      expect(row, what).toMatchObject({ errorCode: Errors.INVALID_RECORD, recordErrors: [] })
    }
    expect(await endOf(client, topic)).toBe(0)
    for (const good of [gzipped(body, 2), large(15)])
      expect((await produce(client, topic, good)).errorCode).toBe(Errors.NONE)
  })
})

describe('timestamps', () => {
  test('more than an hour ahead are refused by default, also by the word of the header', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, timed([-1000 * hourMs, 0, hourMs - 60_000]))
    const row = await produce(client, topic, timed([0, hourMs + 60_000, 2 * hourMs]))
    expect(row).toMatchObject({
      errorCode: Errors.INVALID_TIMESTAMP,
      errorMessage: 'One or more records have been rejected due to invalid timestamp',
      recordErrors: [{ batchIndex: 1 }],
    })
    const [{ batchIndexErrorMessage }] = row.recordErrors
    expect(batchIndexErrorMessage).toMatch(/^Timestamp \d{13} is out of range: .*after.max.ms/)
    const liar = timed([0])
    liar.writeBigInt64BE(BigInt(Date.now() + 2 * hourMs), 35)
    expect(await produce(client, topic, sealed(liar))).toMatchObject({
      errorCode: Errors.INVALID_TIMESTAMP,
      recordErrors: [],
    })
    expect(await endOf(client, topic)).toBe(3)
  })

  test.each(codecs)('too far behind are refused where a bound is set: %s', async codec => {
    const client = await connect(broker())
    const topic = await createTopic(client, {
      configs: { 'message.timestamp.before.max.ms': `${hourMs}` },
    })
    await store(client, topic, timed([60_000 - hourMs, 0], { codec }))
    const row = await produce(client, topic, timed([0, 0, 0, -hourMs - 60_000], { codec }))
    expect(row).toMatchObject({
      errorCode: Errors.INVALID_TIMESTAMP,
      recordErrors: [{ batchIndex: 3 }],
    })
    // -1 is no time at all.
    await store(
      client,
      topic,
      encodeBatch({ codec, timestampMs: -1, records: [{ key: null, value: null }] }),
    )
    expect(await endOf(client, topic)).toBe(3)
  })

  test('are nobody’s business where the broker stamps records itself', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, {
      configs: {
        'message.timestamp.type': 'LogAppendTime',
        'message.timestamp.before.max.ms': '1',
        'message.timestamp.after.max.ms': '1',
      },
    })
    await store(client, topic, timed([-9 * hourMs, 9 * hourMs]))
    const found = recordsOf(await fetchRow(client, topic))
    expect(found.map(({ offset }) => offset)).toEqual([0, 1])
  })

  test('a missing key is told before a bad time', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: compacted })
    const batch = keyed([null], { timestampMs: Date.now() + 9 * hourMs })
    expect((await produce(client, topic, batch)).errorCode).toBe(Errors.INVALID_RECORD)
  })
})

test('min.insync.replicas above the one replica there is does not refuse acks=all', async () => {
  const client = await connect(broker())
  const topic = await createTopic(client, { configs: { 'min.insync.replicas': '2' } })
  expect((await produce(client, topic, keyed(['a']))).errorCode).toBe(Errors.NONE)
})
