/** What Produce takes and what it refuses (LogValidator's rules, as far as a broker needs that decodes no records). */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Metric } from '../../src/metrics.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { attributesAt, isCrcValid, maxTimestampAt } from '../../src/protocol/record-batch.ts'
import { batches } from '../../src/protocol/records.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  lookUp,
  newTopicName,
  type ProduceOptions,
  produce,
  produceRequest,
  readAll,
  recordsOf,
  sharedBroker,
  store,
  timedBatch,
} from './fixture.ts'

const broker = sharedBroker()

/** Positions in a batch header. */
const At = {
  baseOffset: 0,
  batchLength: 8,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
}

/** A batch of two records, changed; its CRC fits again unless `keepCrc`. */
function changed(change: (batch: Buffer) => void, keepCrc = false): Buffer {
  const batch = batchOf(['some record', 'another one'])
  change(batch)
  if (!keepCrc) batch.writeUInt32BE(crc32c(batch.subarray(At.attributes)), At.crc)
  return batch
}

interface Refusal {
  readonly what: string
  readonly code: keyof typeof Errors
  readonly bytes: Buffer | null
  readonly options?: ProduceOptions
}

const refusals: Refusal[] = [
  { what: 'null records', code: 'INVALID_RECORD', bytes: null },
  { what: 'empty records', code: 'INVALID_RECORD', bytes: Buffer.alloc(0) },
  {
    what: 'two batches',
    code: 'INVALID_RECORD',
    bytes: Buffer.concat([batchOf(['a']), batchOf(['b'])]),
  },
  {
    what: 'bytes behind the batch',
    code: 'INVALID_RECORD',
    bytes: Buffer.concat([batchOf(['a']), Buffer.alloc(3)]),
  },
  { what: 'a batch cut short', code: 'INVALID_RECORD', bytes: batchOf(['a']).subarray(0, -1) },
  { what: 'a header cut short', code: 'INVALID_RECORD', bytes: batchOf(['a']).subarray(0, 40) },
  { what: 'a few bytes', code: 'INVALID_RECORD', bytes: Buffer.from([1, 2, 3]) },
  ...[0, 1, 3, -1].map(magic => ({
    what: `magic ${magic}`,
    code: 'INVALID_RECORD' as const,
    bytes: changed(batch => batch.writeInt8(magic, At.magic)),
  })),
  {
    what: 'a negative batch length',
    code: 'INVALID_RECORD',
    bytes: changed(batch => batch.writeInt32BE(-70, At.batchLength), true),
  },
  {
    what: 'a base offset other than 0',
    code: 'INVALID_RECORD',
    bytes: changed(batch => batch.writeInt32BE(1, At.baseOffset + 4)),
  },
  {
    what: 'a negative base offset',
    code: 'INVALID_RECORD',
    bytes: changed(batch => batch.fill(0xff, At.baseOffset, At.baseOffset + 8)),
  },
  {
    what: 'a wrong CRC',
    code: 'CORRUPT_MESSAGE',
    bytes: changed(batch => batch.writeUInt32BE(0xdead_beef, At.crc), true),
  },
  {
    what: 'no record',
    code: 'INVALID_RECORD',
    bytes: changed(batch => {
      batch.writeInt32BE(0, At.recordCount)
      batch.writeInt32BE(-1, At.lastOffsetDelta)
    }),
  },
  {
    what: 'a negative record count',
    code: 'INVALID_RECORD',
    bytes: changed(batch => {
      batch.writeInt32BE(-2, At.recordCount)
      batch.writeInt32BE(-3, At.lastOffsetDelta)
    }),
  },
  {
    what: 'more records than offsets',
    code: 'INVALID_RECORD',
    bytes: changed(batch => batch.writeInt32BE(3, At.recordCount)),
  },
  {
    what: 'more offsets than records',
    code: 'INVALID_RECORD',
    bytes: changed(batch => batch.writeInt32BE(2, At.lastOffsetDelta)),
  },
  {
    what: 'a count that the bytes cannot hold',
    code: 'INVALID_RECORD',
    bytes: changed(batch => {
      batch.writeInt32BE(0x7fff_ffff, At.recordCount)
      batch.writeInt32BE(0x7fff_fffe, At.lastOffsetDelta)
    }),
  },
  {
    what: 'a control batch',
    code: 'INVALID_RECORD',
    bytes: changed(batch => batch.writeInt16BE(0x20, At.attributes)),
  },
  {
    what: 'a producer id without a sequence',
    code: 'INVALID_RECORD',
    bytes: changed(batch => {
      batch.writeBigInt64BE(7n, At.producerId)
      batch.writeInt16BE(0, At.producerEpoch)
      batch.writeInt32BE(-1, At.baseSequence)
    }),
  },
  {
    what: 'log append time claimed by the producer',
    code: 'INVALID_TIMESTAMP',
    bytes: changed(batch => batch.writeInt16BE(0x08, At.attributes)),
  },
  {
    what: 'a timestamp beyond what is exact',
    code: 'INVALID_TIMESTAMP',
    bytes: changed(batch => batch.writeBigInt64BE(2n ** 60n, At.maxTimestamp)),
  },
  ...[5, 6, 7].map(codec => ({
    what: `codec ${codec}`,
    code: 'UNSUPPORTED_COMPRESSION_TYPE' as const,
    bytes: changed(batch => batch.writeInt16BE(codec, At.attributes)),
  })),
  {
    what: 'zstd before version 7',
    code: 'UNSUPPORTED_COMPRESSION_TYPE',
    bytes: batchOf(['a', 'b'], { codec: 'zstd' }),
    options: { version: 6 },
  },
  {
    what: 'a transactional batch, version 10',
    code: 'INVALID_TXN_STATE',
    bytes: changed(batch => batch.writeInt16BE(0x10, At.attributes)),
    options: { version: 10 },
  },
  {
    what: 'a transactional batch, version 11',
    code: 'TRANSACTION_ABORTABLE',
    bytes: changed(batch => batch.writeInt16BE(0x10, At.attributes)),
    options: { version: 11 },
  },
  {
    what: 'a transactional id',
    code: 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
    bytes: batchOf(['a']),
    options: { transactionalId: 'tx' },
  },
  ...[2, -2, 0x7fff, -0x8000].map(acks => ({
    what: `acks=${acks}`,
    code: 'INVALID_REQUIRED_ACKS' as const,
    bytes: batchOf(['a']),
    options: { acks },
  })),
  ...[1, -1, 0x7fff_ffff].map(partition => ({
    what: `partition ${partition} of 1`,
    code: 'UNKNOWN_TOPIC_OR_PARTITION' as const,
    bytes: batchOf(['a']),
    options: { partition },
  })),
]

describe('refused, and nothing of it is stored', () => {
  test.each(refusals)('$what: $code', async ({ code, bytes, options }) => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    await store(client, topic, batchOf(['before']))
    const row = await produce(client, topic, bytes, options)
    expect(row).toMatchObject({
      errorCode: Errors[code],
      baseOffset: -1,
      logAppendTimeMs: -1,
      logStartOffset: -1,
    })
    expect(await store(client, topic, batchOf(['after']))).toBe(1)
    const values = (await readAll(client, topic)).map(({ value }) => String(value))
    expect(values).toEqual(['before', 'after'])
  })

  test('any byte under the CRC flipped', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const batch = batchOf(['short'])
    for (let at = At.crc; at < batch.length; at++) {
      for (const bit of [1, 0x80]) {
        const broken = Buffer.from(batch)
        broken[at] ^= bit
        const { errorCode } = await produce(client, topic, broken, { acks: 1 })
        expect(errorCode, `byte ${at}`).toBe(Errors.CORRUPT_MESSAGE)
      }
    }
    expect(await lookUp(client, topic, -1)).toMatchObject({ offset: 0 })
  })

  test('what it claims to hold, which is not counted as produced', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const counted = () => {
      const { metrics } = broker().parts.services
      return [metrics.get(Metric.producedRecords), metrics.get(Metric.producedBytes)]
    }
    const [records, bytes] = counted()
    const lie = changed(batch => batch.writeInt32BE(0x7fff_ffff, At.recordCount))
    expect((await produce(client, topic, lie)).errorCode).toBe(Errors.INVALID_RECORD)
    expect(counted()).toEqual([records, bytes])
    const batch = batchOf(['one', 'two'])
    await store(client, topic, batch)
    expect(counted()).toEqual([records + 2, bytes + batch.length])
  })

  test('an unknown topic, which is not created by it', async () => {
    const client = await connect(broker())
    const topic = newTopicName('never-created')
    const row = await produce(client, topic, batchOf(['a']))
    expect(row.errorCode).toBe(Errors.UNKNOWN_TOPIC_OR_PARTITION)
    const { topics } = await client.request(Metadata, 12, {
      topics: null,
      allowAutoTopicCreation: true,
      includeClusterAuthorizedOperations: false,
      includeTopicAuthorizedOperations: false,
    })
    expect(topics.map(({ name }) => name)).not.toContain(topic)
  })

  test('a batch one byte above max.message.bytes; one that just fits is stored', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: { 'max.message.bytes': '2000' } })
    const frame = batchOf(['x'.repeat(1000)]).length - 1000
    const fits = batchOf(['x'.repeat(2000 - frame)])
    expect(fits).toHaveLength(2000)
    expect(await store(client, topic, fits)).toBe(0)
    const row = await produce(client, topic, batchOf(['x'.repeat(2001 - frame)]))
    expect(row.errorCode).toBe(Errors.MESSAGE_TOO_LARGE)
    expect(await readAll(client, topic)).toHaveLength(1)
  })

  test('a batch larger than a segment may be', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { configs: { 'segment.bytes': '4096' } })
    const row = await produce(client, topic, batchOf(['x'.repeat(5000)]))
    expect(row.errorCode).toBe(Errors.RECORD_LIST_TOO_LARGE)
    expect(await store(client, topic, batchOf(['x'.repeat(3000)]))).toBe(0)
  })

  test('one partition of a request; the others are stored', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 3 })
    const bad = changed(batch => batch.writeInt32BE(9, At.recordCount))
    const request = produceRequest(topic, null)
    request.topicData = [
      {
        name: topic,
        partitionData: [
          { index: 2, records: batchOf(['c']) },
          { index: 1, records: bad },
          { index: 0, records: batchOf(['a']) },
        ],
      },
      { name: 'no-such-topic', partitionData: [{ index: 0, records: batchOf(['d']) }] },
    ]
    const { responses } = await client.request(Produce, 9, request)
    const rows = responses.map(({ name, partitionResponses }) => ({
      name,
      rows: partitionResponses.map(({ index, errorCode }) => [index, errorCode]),
    }))
    expect(rows).toEqual([
      {
        name: topic,
        rows: [
          [2, Errors.NONE],
          [1, Errors.INVALID_RECORD],
          [0, Errors.NONE],
        ],
      },
      { name: 'no-such-topic', rows: [[0, Errors.UNKNOWN_TOPIC_OR_PARTITION]] },
    ])
    const ends = [0, 1, 2].map(partition => lookUp(client, topic, -1, { partition }))
    expect((await Promise.all(ends)).map(({ offset }) => offset)).toEqual([1, 0, 1])
  })
})

describe('taken', () => {
  test.each([3, 4, 5, 6, 7, 8, 9, 10, 11])('in version %i, with every acks', async version => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    for (const [i, acks] of [-1, 1].entries()) {
      const row = await produce(client, topic, batchOf(['a', 'b']), { version, acks })
      expect(row).toEqual({
        index: 0,
        errorCode: Errors.NONE,
        baseOffset: 2 * i,
        logAppendTimeMs: -1,
        logStartOffset: version >= 5 ? 0 : -1,
        recordErrors: [],
        errorMessage: null,
        currentLeader: null,
      })
    }
  })

  test('bytes stay as they came but for base offset and leader epoch, on the wire and in the file', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const sent = (['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const).map(codec =>
      batchOf(['one', 'two', 'three'], { codec }),
    )
    for (const batch of sent) await store(client, topic, batch)
    const { records } = await fetchRow(client, topic)
    const stored = await readFile(
      join(broker().dataDirectory, `${topic}-0`, '00000000000000000000.log'),
    )
    expect(stored.equals(records ?? Buffer.alloc(0))).toBe(true)
    const expected = sent.map((batch, i) => {
      const copy = Buffer.from(batch)
      copy.writeBigInt64BE(BigInt(3 * i), At.baseOffset)
      copy.writeInt32BE(0, 12)
      return copy
    })
    expect(stored.toString('hex')).toBe(Buffer.concat(expected).toString('hex'))
  })

  test('a producer id of -1 makes epoch and sequence meaningless (kafkajs sends 0 and 0)', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const batch = changed(bytes => {
      bytes.writeInt16BE(0, At.producerEpoch)
      bytes.writeInt32BE(0, At.baseSequence)
    })
    expect(await store(client, topic, batch)).toBe(0)
    expect(await store(client, topic, batch)).toBe(2)
  })

  test('under LogAppendTime the broker stamps batch and answer', async () => {
    const client = await connect(broker())
    const configs = { 'message.timestamp.type': 'LogAppendTime' }
    const topic = await createTopic(client, { configs })
    const before = Date.now()
    const row = await produce(client, topic, timedBatch([1000, 3000, 2000], { codec: 'lz4' }))
    expect(row.logAppendTimeMs).toBeGreaterThanOrEqual(before)
    expect(row.logAppendTimeMs).toBeLessThanOrEqual(Date.now())
    const fetched = await fetchRow(client, topic)
    const [batch] = batches(fetched.records ?? Buffer.alloc(0))
    expect(attributesAt(batch, 0)).toBe(0x08 | 3)
    expect(maxTimestampAt(batch, 0)).toBe(row.logAppendTimeMs)
    expect(isCrcValid(batch, 0, batch.length)).toBe(true)
    const times = recordsOf(fetched).map(({ timestampMs }) => timestampMs)
    expect(times).toEqual([1, 2, 3].map(() => row.logAppendTimeMs))
  })
})
