/** A log that cannot be opened: its partition says so in every answer, neighbours serve, its data is not touched. */
import { readFile, writeFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import {
  batchOf,
  connect,
  createTopic,
  fetchRow,
  launchBroker,
  lookUp,
  produce,
  produceRequest,
  readAll,
  store,
} from './fixture.ts'

test('a partition that belongs to another topic stays offline until that is put right', async () => {
  await using directory = await makeTempDirectory()
  const start = () => launchBroker({ dataDirectory: directory.path, http: true })
  const first = await start()
  const client = await connect(first)
  const topic = await createTopic(client, { partitions: 2 })
  for (const partition of [0, 1]) await store(client, topic, batchOf(['kept']), { partition })
  await first.close()
  const metadataFile = directory.file(`${topic}-0`, 'partition.metadata')
  const metadata = await readFile(metadataFile, 'utf8')
  expect(metadata).toMatch(/^version: 0\ntopic_id: \S{22}\n$/)
  await writeFile(
    metadataFile,
    metadata.replace(/topic_id: .*/, 'topic_id: AAAAAAAAAAAAAAAAAAAAAQ'),
  )

  const second = await start()
  const again = await connect(second)
  const row = await produce(again, topic, batchOf(['x']))
  expect(row).toMatchObject({ errorCode: Errors.KAFKA_STORAGE_ERROR, baseOffset: -1 })
  // A fetch does not wait for what cannot come.
  for (const version of [4, 12]) {
    const fetched = await fetchRow(again, topic, { version, maxWaitMs: 3_600_000 })
    expect(fetched).toMatchObject({ errorCode: Errors.KAFKA_STORAGE_ERROR, highWatermark: -1 })
  }
  for (const timestamp of [-1, -2, -3, 5]) {
    const offset = await lookUp(again, topic, timestamp)
    expect(offset).toMatchObject({ errorCode: Errors.KAFKA_STORAGE_ERROR, offset: -1 })
  }
  const described = await again.request(Metadata, 12, {
    topics: null,
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  })
  expect(described.topics[0].partitions).toMatchObject([
    { partitionIndex: 0, errorCode: Errors.LEADER_NOT_AVAILABLE, leaderId: -1 },
    { partitionIndex: 1, errorCode: Errors.NONE, leaderId: 0 },
  ])
  const ready = await fetch(`${second.httpUrl}/readyz`)
  expect(ready.status).toBe(503)
  expect(await ready.text()).toContain(`${topic}-0`)
  expect(await store(again, topic, batchOf(['more']), { partition: 1 })).toBe(1)
  const silent = await connect(second)
  const message = produceRequest(topic, batchOf(['x']), { acks: 0 })
  silent.write(silent.frame({ schema: Produce, version: 9, message }, { correlationId: 1 }))
  await silent.closed
  await second.close()

  await writeFile(metadataFile, metadata)
  const third = await start()
  const last = await connect(third)
  expect((await fetch(`${third.httpUrl}/readyz`)).status).toBe(200)
  expect(await readAll(last, topic, { partition: 0 })).toHaveLength(1)
  expect(await readAll(last, topic, { partition: 1 })).toHaveLength(2)
  await third.close()
})
