/**
 * Real clients, real log lines, every codec: what they produce is stored compressed as they sent it, and comes back
 * byte for byte through kcat and our own client, from any place, also after the broker was stopped or killed.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Admin } from '../../src/client/admin.ts'
import { Consumer } from '../../src/client/consumer.ts'
import type { StartPosition } from '../../src/client/start-offsets.ts'
import { type CodecName, codecNames, compress } from '../../src/protocol/compression.ts'
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  codecAt,
  recordCountAt,
} from '../../src/protocol/record-batch.ts'
import { batches } from '../../src/protocol/records.ts'
import { joinLines, linesOf, loadCorpus } from '../support/loghub.ts'
import { requireCommand, requireThat } from '../support/requires.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { makeTempDirectory, type TempDirectory } from '../support/temp-directory.ts'
import { kcatConsume } from './kcat.ts'
import { type Line, type TestClient, testClients } from './producers.ts'

/** kcat makes no record of an empty line. */
const values = linesOf(loadCorpus()).filter(line => line.length > 0)
const firstMs = Date.UTC(2011, 5, 12)
const lines: readonly Line[] = values.map((value, i) => ({ value, timestampMs: firstMs + 7 * i }))

/** One topic per client and codec, as they get written. */
interface Written {
  readonly topic: string
  /** As stored. */
  readonly timestampsMs: readonly number[]
  /** In the middle of the largest batch. */
  readonly midBatch: number
}

const written: Written[] = []
let directory: TempDirectory
let broker: SpawnedBroker

beforeAll(async () => {
  directory = await makeTempDirectory()
  broker = await start()
})
afterAll(async () => {
  await broker?.kill9()
  await directory?.remove()
})

function start(): Promise<SpawnedBroker> {
  return spawnBroker({ dataDirectory: directory.path, args: ['--workers', '2'] })
}

async function storedBatches(topic: string): Promise<Uint8Array[]> {
  const path = directory.file(`${topic}-0`)
  const names = (await readdir(path)).filter(name => name.endsWith('.log')).sort()
  const files = await Promise.all(names.map(name => readFile(join(path, name))))
  return files.flatMap(file => [...batches(file)])
}

/**
 * Every batch has the codec, save those that it would make larger: librdkafka sends these plain. They must be few and
 * small, or the test would prove nothing.
 */
function checkCodec(stored: readonly Uint8Array[], codec: CodecName, client: TestClient): void {
  const plain = stored.filter(batch => codecNames[codecAt(batch, 0)] !== codec)
  const packed = stored.filter(batch => codecNames[codecAt(batch, 0)] === codec)
  const count = (some: readonly Uint8Array[]) =>
    some.reduce((sum, batch) => sum + recordCountAt(batch, 0), 0)
  expect(count(stored)).toBe(lines.length)
  expect(count(packed)).toBeGreaterThan(0.9 * lines.length)
  if (client.name !== 'kcat') expect(plain).toEqual([])
  for (const batch of plain) {
    const body = batch.subarray(BATCH_HEADER_BYTES)
    expect(codecNames[codecAt(batch, 0)]).toBe('none')
    expect(compress(codec, body).length).toBeGreaterThanOrEqual(body.length * 0.9)
  }
}

interface Read {
  readonly offsets: number[]
  readonly timestampsMs: number[]
  readonly bytes: Buffer
}

/** Reads to the end with our own client; bytes as kcat prints them. */
async function readWithOurs(topic: string, from: StartPosition): Promise<Read> {
  await using consumer = new Consumer({ bootstrap: broker.bootstrap, from })
  const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true })
  const found: Buffer[] = []
  const offsets: number[] = []
  const timestampsMs: number[] = []
  for await (const { offset, value, timestampMs } of stream) {
    offsets.push(offset)
    timestampsMs.push(timestampMs)
    found.push(value ?? Buffer.from('(null)'))
  }
  return { offsets, timestampsMs, bytes: joinLines(found) }
}

const from = (offset: number) => joinLines(values.slice(offset))

/** What acks=1 has acknowledged may be shown a little later. */
async function isReadable(topic: string): Promise<void> {
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  const end = async () => (await admin.describeTopic(topic)).partitions[0].endOffset
  await expect.poll(end).toBe(lines.length)
}

function expectSameNumbers(found: readonly number[], expected: readonly number[]): void {
  expect(found.length).toBe(expected.length)
  const at = found.findIndex((number, i) => number !== expected[i])
  expect(at < 0 ? null : [at, found[at]]).toEqual(at < 0 ? null : [at, expected[at]])
}

/** Says where the difference is: printing two megabytes helps nobody. */
function expectSame(found: Buffer, expected: Buffer, what: string): void {
  const at = found.findIndex((byte, i) => byte !== expected[i])
  const where = `${what}: ${found.length} bytes of ${expected.length}, first difference at ${at}`
  expect(found.equals(expected), where).toBe(true)
}

async function readEverywhere({ topic, timestampsMs, midBatch }: Written): Promise<void> {
  const { bootstrap } = broker
  expectSame(await kcatConsume(bootstrap, topic, 'beginning'), from(0), 'kcat, all')
  const all = await readWithOurs(topic, 'smallest')
  expectSame(all.bytes, from(0), 'our client, all')
  expectSameNumbers(all.offsets, [...values.keys()])
  expectSameNumbers(all.timestampsMs, timestampsMs)

  expectSame(await kcatConsume(bootstrap, topic, midBatch), from(midBatch), 'kcat, mid-batch')
  const rest = await readWithOurs(topic, { offset: midBatch })
  expectSame(rest.bytes, from(midBatch), 'our client, mid-batch')
  expect(rest.offsets[0]).toBe(midBatch)

  // The time of a record deep in a batch, and the moment before it where that is a time of its own.
  const timeMs = timestampsMs[midBatch]
  const first = timestampsMs.findIndex(at => at >= timeMs)
  expectSame(await kcatConsume(bootstrap, topic, `s@${timeMs}`), from(first), 'kcat, by time')
  const later = await readWithOurs(topic, new Date(timeMs))
  expectSame(later.bytes, from(first), 'our client, by time')
  expect(later.offsets[0]).toBe(first)
}

describe.each(testClients)('$name', { timeout: 120_000 }, client => {
  test.for(client.codecs)(
    'produces with codec %s, all of it comes back',
    async (codec, context) => {
      if (client.missing !== null) requireThat(context, false, ...client.missing)
      requireCommand(context, 'kcat')
      const topic = `${client.name.replaceAll(/[^a-z]+/g, '-')}.${codec}`
      const { bootstrap } = broker
      // Half of them with acks=1: it too must survive the end of the process below.
      const acks = codec === 'gzip' || codec === 'lz4' ? 1 : -1
      await client.createTopic?.(bootstrap, topic)
      await client.produce({ bootstrap, topic, codec, acks }, lines)
      await isReadable(topic)
      const { timestampsMs } = await readWithOurs(topic, 'smallest')
      const sentMs = lines.map(line => line.timestampMs)
      if (client.setsTimestamps) expectSameNumbers(timestampsMs, sentMs)
      const stored = await storedBatches(topic)
      checkCodec(stored, codec, client)
      const largest = stored.toSorted((a, b) => recordCountAt(b, 0) - recordCountAt(a, 0))[0]
      const midBatch = baseOffsetAt(largest, 0) + (recordCountAt(largest, 0) >> 1)
      expect(midBatch).toBeGreaterThan(baseOffsetAt(largest, 0))
      const one = { topic, timestampsMs, midBatch }
      written.push(one)
      await readEverywhere(one)
    },
  )
})

describe('everything written so far', { timeout: 240_000 }, () => {
  test.for([
    ['after kill -9', 'kill9'],
    ['after a clean restart', 'stop'],
  ] as const)('reads the same %s', async ([, end], context) => {
    requireCommand(context, 'kcat')
    expect(written.length).toBeGreaterThan(0)
    const code = await broker[end]()
    if (end === 'stop') expect(code).toBe(0)
    broker = await start()
    for (const one of written) await readEverywhere(one)
  })
})
