/**
 * The scenarios that every client plays, unmodified and with its defaults: it is told the broker's address and what the
 * scenario is about, nothing else. Each has topics and groups of its own, all of one client share a broker.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { type CodecName, codecNames } from '../../../src/protocol/compression.ts'
import { Errors } from '../../../src/protocol/errors.ts'
import { baseSequenceAt, producerIdAt, recordCountAt } from '../../../src/protocol/record-batch.ts'
import {
  checkReadBack,
  checkRefused,
  checkStoredCodec,
  keyedRecords,
  largeRecord,
  numbersFrom,
  unkeyedRecords,
  valuesOf,
} from './checks.ts'
import { deleteGroup, groupScenarios } from './group-scenarios.ts'
import { type Scenario, Stage } from './stage.ts'

/** A bound for machines under load. */
const timeoutMs = 60_000
const megabyte = 1_000_000

/** The first `count` records of the topic's partitions, as the client reads them. */
async function readAll(stage: Stage, topic: string, partitions: number, count: number) {
  const client = await stage.client()
  const all = numbersFrom(0, partitions)
  return await client.consume({ topic, partitions: all, from: 'earliest', count, timeoutMs })
}

const createTopic: Scenario = {
  id: 'create-topic',
  title: 'create, list and describe a topic',
  needs: ['createTopic'],
  async run(stage) {
    const client = await stage.client()
    const topic = stage.newName()
    await client.createTopic({ topic, partitions: 5 })
    assert.ok((await client.listTopics({})).includes(topic), 'it is listed')
    assert.deepEqual(await client.describeTopic({ topic }), { partitions: 5 })
  },
}

const produceWith = (codec: CodecName): Scenario => ({
  id: `produce-${codec}`,
  title: `produce with and without keys, ${codec === 'none' ? 'not compressed' : codec}, read back`,
  needs: [codec],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(3)
    const keyed = keyedRecords(200, stage.can('headers'))
    const unkeyed = unkeyedRecords(200)
    // Plain is everybody's default.
    const options = codec === 'none' ? { topic } : { topic, codec }
    await client.produce({ ...options, records: keyed })
    await client.produce({ ...options, records: unkeyed })
    const sent = [...keyed, ...unkeyed]
    checkReadBack(await readAll(stage, topic, 3, sent.length), sent)
    checkStoredCodec(await stage.storedBatches(topic, 3), codec)
  },
})

const produceIdempotent: Scenario = {
  id: 'produce-idempotent',
  title: 'produce idempotently',
  needs: ['idempotent'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(1)
    const records = unkeyedRecords(100)
    for (let at = 0; at < records.length; at += 10) {
      await client.produce({ topic, records: records.slice(at, at + 10), idempotent: true })
    }
    checkReadBack(await readAll(stage, topic, 1, records.length), records)
    const sequences = new Map<number, number>()
    for (const batch of await stage.storedBatches(topic, 1)) {
      const producerId = producerIdAt(batch, 0)
      assert.ok(producerId >= 0, 'batches carry a producer id')
      assert.equal(baseSequenceAt(batch, 0), sequences.get(producerId) ?? 0, 'sequences are dense')
      sequences.set(producerId, (sequences.get(producerId) ?? 0) + recordCountAt(batch, 0))
    }
  },
}

const largeRecords: Scenario = {
  id: 'record-1-mb',
  title: 'a record of 1 MB',
  needs: [],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(1)
    const records = [largeRecord(megabyte), largeRecord(10)]
    for (const record of records) {
      await client.produce({ topic, records: [record], maxRecordBytes: 1_048_576 })
    }
    checkReadBack(await readAll(stage, topic, 1, 2), records)
  },
}

const recordOverLimit: Scenario = {
  id: 'record-over-limit',
  title: 'a record over the limit is refused clearly, the client goes on',
  needs: [],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(1)
    const options = { topic, maxRecordBytes: 4 * megabyte }
    await checkRefused(
      client.produce({ ...options, records: [largeRecord(2 * megabyte)] }),
      Errors.MESSAGE_TOO_LARGE,
      /too.?large|larger than|larger message/i,
    )
    const small = largeRecord(10)
    await client.produce({ ...options, records: [small] })
    checkReadBack(await readAll(stage, topic, 1, 1), [small])
  },
}

const unknownTopicCreated: Scenario = {
  id: 'unknown-topic-created',
  title: 'an unknown topic is created by the first record',
  needs: ['autoCreate'],
  async run(stage) {
    const client = await stage.client()
    const topic = stage.newName()
    const records = unkeyedRecords(10)
    await client.produce({ topic, records, autoCreate: true })
    checkReadBack(await readAll(stage, topic, 1, 10), records)
  },
}

/** The last is all that kafka-python says. */
const unknownTopicWords =
  /unknown.?topic|does not (exist|host)|not (present|found) in metadata|topic.*not present|failed to update metadata/i

const unknownTopicRefused: Scenario = {
  id: 'unknown-topic-refused',
  title: 'an unknown topic is refused clearly with `auto.create.topics.enable=false`',
  needs: [],
  async run({ driver }) {
    const stage = await Stage.set(driver, ['auto.create.topics.enable=false'])
    try {
      const client = await stage.client()
      const topic = stage.newName()
      const records = unkeyedRecords(1)
      const options = { topic, records, timeoutMs: 5000, autoCreate: true }
      await checkRefused(
        client.produce(options),
        Errors.UNKNOWN_TOPIC_OR_PARTITION,
        unknownTopicWords,
      )
      assert.ok(!(await client.listTopics({})).includes(topic), 'it does not exist')
      await stage.topic(1, topic)
      await client.produce(options)
    } finally {
      await stage.strike()
    }
  },
}

const seek: Scenario = {
  id: 'seek',
  title: 'read from an offset and from a time',
  needs: ['seekByTime'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(1)
    const records = unkeyedRecords(60)
    for (const at of [0, 20, 40]) {
      await client.produce({ topic, records: records.slice(at, at + 20) })
      // So that the next have a later time.
      await sleep(20)
    }
    const reader = { topic, partitions: [0], timeoutMs }
    const all = await client.consume({ ...reader, from: 'earliest', count: 60 })
    const [seventeen] = await client.consume({ ...reader, from: { offset: 17 }, count: 3 })
    assert.equal(seventeen.offset, 17)
    for (const at of [20, 40]) {
      const { timestampMs } = all[at]
      assert.ok(timestampMs > all[at - 1].timestampMs, 'times differ')
      const [first] = await client.consume({ ...reader, from: { timeMs: timestampMs }, count: 5 })
      assert.equal(first.offset, at)
      const [next] = await client.consume({
        ...reader,
        from: { timeMs: all[at - 1].timestampMs + 1 },
        count: 5,
      })
      assert.equal(next.offset, at)
    }
  },
}

const deleteRecords: Scenario = {
  id: 'delete-records',
  title: 'delete records',
  needs: ['deleteRecords'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(1)
    await stage.fill(topic, 1, 0, 50)
    await client.deleteRecords({ topic, partition: 0, before: 30 })
    assert.deepEqual(valuesOf(await readAll(stage, topic, 1, 20)), numbersFrom(30, 50))
  },
}

const deleteTopic: Scenario = {
  id: 'delete-topic',
  title: 'delete a topic',
  needs: ['deleteTopic'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(3)
    await stage.fill(topic, 3, 0, 30)
    await client.deleteTopic({ topic })
    assert.ok(!(await client.listTopics({})).includes(topic), 'it is gone')
  },
}

export const scenarios: readonly Scenario[] = [
  createTopic,
  ...codecNames.filter(name => name !== undefined).map(produceWith),
  produceIdempotent,
  largeRecords,
  recordOverLimit,
  unknownTopicCreated,
  unknownTopicRefused,
  seek,
  ...groupScenarios,
  deleteRecords,
  deleteGroup,
  deleteTopic,
]
