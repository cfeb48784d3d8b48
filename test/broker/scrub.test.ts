/** The scrub in a running broker: rot in a file is found without anybody reading there (RELIABILITY P12, B8). */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { records } from '../../src/protocol/records.ts'
import {
  batchOf,
  connect,
  createTopic,
  type FetchRow,
  fetchRow,
  store,
  testBroker,
} from './fixture.ts'

const rounds = 60

test('a bit that flips while the broker runs is found, named and kept from readers', async () => {
  const broker = await testBroker({
    http: true,
    set: { 'log.scrub.interval.ms': 200, 'log.segment.bytes': 2000, workers: 1 },
  })
  const client = await connect(broker)
  const topic = await createTopic(client)
  for (let round = 0; round < rounds; round++) {
    await store(client, topic, batchOf([`record ${round}`.padEnd(100)]))
  }
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
    return Number(new RegExp(`^odradek_${name} (\\S+)$`, 'm').exec(text)?.[1])
  }
  const total = rounds * 160
  await vi.waitUntil(async () => (await metric('scrubbed_bytes_total')) > total, {
    timeout: 60_000,
  })
  expect(await metric('scrub_passes_total')).toBeGreaterThan(0)
  expect(await metric('lost_ranges_total')).toBe(0)
  const log = join(broker.dataDirectory, `${topic}-0`)
  const [, second] = readdirSync(log)
    .filter(name => name.endsWith('.log'))
    .sort()
  const path = join(log, second)
  const bytes = readFileSync(path)
  bytes[80] ^= 1
  writeFileSync(path, bytes)
  await vi.waitUntil(async () => (await metric('lost_ranges_total')) === 1, { timeout: 60_000 })
  const lost = Number.parseInt(second, 10)
  expect((await fetchRow(client, topic, { offset: lost })).errorCode).toBe(Errors.CORRUPT_MESSAGE)
  for (const offset of [lost - 1, lost + 1]) {
    expect(firstValue(await fetchRow(client, topic, { offset })).trim()).toBe(`record ${offset}`)
  }
})

function firstValue({ records: bytes }: FetchRow): string {
  const batch = Buffer.from(bytes as Uint8Array)
  const [first] = records(batch.subarray(0, 12 + batch.readInt32BE(8)))
  return Buffer.from(first.value as Uint8Array).toString()
}
