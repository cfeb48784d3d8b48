import { expect, test } from 'vitest'
import { batchOf, connect, createTopic, produceRequest, sharedBroker, store, readAll } from './fixture.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
const broker = sharedBroker()
test('acks=0 unknown', async () => {
  const client = await connect(broker())
  client.write(client.frame({schema: Produce, version: 9, message: produceRequest('nope', batchOf(['a']), {acks: 0})}, {correlationId: 3}))
  await client.closed
  const other = await connect(broker())
  const topic = await createTopic(other)
  await store(other, topic, batchOf(['a', 'b']))
  expect(await readAll(other, topic)).toMatchObject([{offset: 0}, {offset: 1}])
})
