/** What a power cut could take is counted, and a policy that lets it take what was acknowledged is warned about. */
import { describe, expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { batchOf, connect, createTopic, store, testBroker } from './fixture.ts'

async function unflushed(broker: Broker): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  return Number(/^odradek_acked_unflushed_records (\S+)$/m.exec(text)?.[1])
}

describe('acked_unflushed_records', () => {
  test('counts what was appended and not flushed, under every policy', async () => {
    const broker = await testBroker({ http: true })
    const client = await connect(broker)
    const never = { 'flush.messages': '1000000', 'flush.ms': '3600000' }
    const os = await createTopic(client, { configs: { 'flush.policy': 'os' } })
    const interval = await createTopic(client, {
      configs: { 'flush.policy': 'interval', ...never },
    })
    const group = await createTopic(client)
    expect(await unflushed(broker)).toBe(0)
    await store(client, os, batchOf(['a', 'b', 'c']))
    await store(client, os, batchOf(['d']))
    expect(await unflushed(broker)).toBe(4)
    await store(client, interval, batchOf(['a', 'b']), { acks: 1 })
    expect(await unflushed(broker)).toBe(6)
    await store(client, group, batchOf(['flushed']))
    expect(await unflushed(broker)).toBe(6)
    await broker.parts.services.admin.deleteTopic({ name: os })
    expect(await unflushed(broker)).toBe(2)
    // The next thread has proven all that it found.
    const partition = broker.parts.services.topics.get(interval)?.partitions[0]
    await broker.parts.host.owners[partition?.ownerIndex ?? 0]?.terminate()
    await expect.poll(() => unflushed(broker), { timeout: 20_000 }).toBe(0)
  })
})

test('flush.policy=os is warned about: when a topic gets it, and at every start', async () => {
  const dataDirectory = await tempDirectory()
  const broker = await spawnBroker({ dataDirectory })
  const admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name: 'safe' })
  await admin.createTopic({ name: 'created', configs: new Map([['flush.policy', 'os']]) })
  await admin.createTopic({ name: 'altered' })
  const set = new Map([['flush.policy', 'os']])
  await admin.alterTopicConfigs('altered', { set, remove: [] })
  await admin.close()
  await broker.stop()
  expect(warnedTopics(broker.stderr())).toEqual(['created', 'altered'])
  const again = await spawnBroker({ dataDirectory })
  await again.stop()
  expect(warnedTopics(again.stderr()).sort()).toEqual(['altered', 'created'])
})

function warnedTopics(stderr: string): string[] {
  const lines = stderr.split('\n').filter(line => line.includes('flush.policy is os'))
  return lines.map(line => {
    const { level, topic } = JSON.parse(line) as { level: string; topic: string }
    expect(level).toBe('warn')
    return topic
  })
}
