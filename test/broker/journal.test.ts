/**
 * Many partitions of one owner take records at once: they go through the journal, and survive `kill -9` and a start
 * with another number of owners.
 */
import { readdir } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { batchOf, connect, createTopic, produce, readAll } from './fixture.ts'

const partitions = 60

async function metric(broker: SpawnedBroker, name: string): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  const lines = text.split('\n').filter(line => line.startsWith(`odradek_${name}`))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

/** One batch to every partition at the same time. */
async function writeAll(broker: SpawnedBroker, topic: string, round: number): Promise<void> {
  const client = await connect(broker)
  const writes = Array.from({ length: partitions }, async (_, partition) => {
    const row = await produce(client, topic, batchOf([`${partition}: ${round}`]), { partition })
    expect(row.errorCode).toBe(Errors.NONE)
  })
  await Promise.all(writes)
  client.close()
}

test('what the journal proved is there after kill -9, whoever owns it then', {
  timeout: 180_000,
}, async () => {
  const directory = await tempDirectory()
  const start = (workers: number) => {
    const args = ['--workers', String(workers), '--set', 'journal.bytes=16777216']
    return spawnBroker({ dataDirectory: directory, args })
  }
  let broker = await start(1)
  let rounds = 0
  const client = await connect(broker)
  const topic = await createTopic(client, { partitions })
  client.close()
  while ((await metric(broker, 'journal_rounds_total')) < 20)
    await writeAll(broker, topic, rounds++)
  await broker.kill9()
  for (const workers of [2, 1]) {
    broker = await start(workers)
    const reader = await connect(broker)
    for (let partition = 0; partition < partitions; partition++) {
      const records = await readAll(reader, topic, { partition })
      const values = records.map(({ value }) => String(value))
      expect(values).toEqual(Array.from({ length: rounds }, (_, round) => `${partition}: ${round}`))
    }
    reader.close()
    await writeAll(broker, topic, rounds++)
    await broker.kill9()
  }
  const journals = (await readdir(directory)).filter(name => name.startsWith('journal-'))
  expect(journals.sort()).toEqual(['journal-0-a', 'journal-0-b'])
})
