/** The clients of the compatibility tests as producers, behind one interface. */
import { createRequire } from 'node:module'
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import kafkajs from 'kafkajs'
import { compressFrameSync, decompressFrameSync } from 'lz4-napi'
import { compressSync, uncompressSync } from 'snappy'
import { Admin } from '../../src/client/admin.ts'
import { Producer } from '../../src/client/producer.ts'
import type { CodecName } from '../../src/protocol/compression.ts'
import { findCommand } from '../support/requires.ts'
import { kcat } from './kcat.ts'

export interface Line {
  readonly value: Buffer
  readonly timestampMs: number
}

export interface ProduceSettings {
  readonly bootstrap: string
  readonly topic: string
  readonly codec: CodecName
  /** What the client asks for: all, or the leader alone. */
  readonly acks: -1 | 1
}

export interface TestClient {
  readonly name: string
  readonly codecs: readonly CodecName[]
  /** Null when it is there, else what is missing and the command that brings it. */
  readonly missing: readonly [what: string, cure: string] | null
  /** False: the client stamps records itself. */
  readonly setsTimestamps: boolean
  /** Absent: topics are created by the first use. */
  createTopic?(bootstrap: string, topic: string): Promise<void>
  /** Sends all lines to partition 0 in order; resolves when all are acknowledged. */
  produce(settings: ProduceSettings, lines: readonly Line[]): Promise<void>
}

const allCodecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
/** Lines of one call, and so of one batch. */
const linesPerBatch = 1500

function* chunksOf(lines: readonly Line[]): Generator<readonly Line[]> {
  for (let at = 0; at < lines.length; at += linesPerBatch) {
    yield lines.slice(at, at + linesPerBatch)
  }
}

const kcatClient: TestClient = {
  name: 'kcat',
  codecs: allCodecs,
  missing: findCommand('kcat') === null ? ['kcat is not installed', 'apt-get install kcat'] : null,
  setsTimestamps: false,
  async produce({ bootstrap, topic, codec, acks }, lines) {
    const input = Buffer.concat(lines.flatMap(({ value }) => [value, Buffer.from('\n')]))
    // Waiting for more records makes large batches; without it some hold one record and stay plain.
    const settings = ['-X', 'linger.ms=100', '-X', `acks=${acks}`]
    await kcat(bootstrap, ['-P', '-t', topic, '-p', '0', '-z', codec, ...settings], input)
  },
}

const ourClient: TestClient = {
  name: 'our client',
  codecs: allCodecs,
  missing: null,
  setsTimestamps: true,
  async createTopic(bootstrap, topic) {
    await using admin = new Admin({ bootstrap })
    await admin.createTopic({ name: topic, partitions: 1 })
  },
  async produce({ bootstrap, topic, codec, acks }, lines) {
    await using producer = new Producer({ bootstrap, codec, acks })
    for (const chunk of chunksOf(lines)) {
      await producer.send(
        topic,
        chunk.map(line => ({ ...line, partition: 0 })),
      )
    }
  },
}

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs

/** kafkajs brings gzip; the others are plugged in, as its documentation says: snappy as one raw block. */
function plugIn(
  type: 1 | 2 | 3 | 4,
  compress: (plain: Buffer) => Buffer,
  decompress: (packed: Buffer) => Buffer,
): void {
  CompressionCodecs[type] = () => ({
    compress: async ({ buffer }: { buffer: Buffer }) => compress(buffer),
    decompress: async (buffer: Buffer) => decompress(buffer),
  })
}
plugIn(CompressionTypes.Snappy, compressSync, packed => uncompressSync(packed) as Buffer)
plugIn(CompressionTypes.LZ4, compressFrameSync, decompressFrameSync)
plugIn(CompressionTypes.ZSTD, plain => zstdCompressSync(plain), zstdDecompressSync)

export const kafkajsTypes = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
} as const

export function kafkajsOf(bootstrap: string) {
  const retry = { retries: 3 }
  return new Kafka({ brokers: [bootstrap], clientId: 'test', logLevel: logLevel.NOTHING, retry })
}

const kafkajsClient: TestClient = {
  name: 'kafkajs',
  codecs: allCodecs,
  missing: null,
  setsTimestamps: true,
  async createTopic(bootstrap, topic) {
    const admin = kafkajsOf(bootstrap).admin()
    await admin.connect()
    await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] })
    await admin.disconnect()
  },
  async produce({ bootstrap, topic, codec, acks }, lines) {
    const producer = kafkajsOf(bootstrap).producer({
      createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
    })
    await producer.connect()
    for (const chunk of chunksOf(lines)) {
      const messages = chunk.map(({ value, timestampMs }) => ({
        value,
        timestamp: `${timestampMs}`,
        partition: 0,
      }))
      await producer.send({ topic, acks, compression: kafkajsTypes[codec], messages })
    }
    await producer.disconnect()
  },
}

/** Installed apart from the product: null where that has not been done. */
export const platformatic = await loadPlatformatic()

async function loadPlatformatic(): Promise<typeof import('@platformatic/kafka') | null> {
  const name = '@platformatic/kafka'
  try {
    createRequire(import.meta.url).resolve(`${name}/package.json`)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Another code: it is there, but says nothing of its package.json.
    if (code === 'MODULE_NOT_FOUND') return null
  }
  return (await import(name)) as typeof import('@platformatic/kafka')
}

export const platformaticMissing =
  platformatic === null
    ? (['@platformatic/kafka is not installed', 'npm run test:clients:install'] as const)
    : null

const platformaticClient: TestClient = {
  name: '@platformatic/kafka',
  codecs: allCodecs,
  missing: platformaticMissing,
  setsTimestamps: true,
  async createTopic(bootstrap, topic) {
    const admin = new platformatic!.Admin({ clientId: 'test', bootstrapBrokers: [bootstrap] })
    await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 })
    await admin.close()
  },
  async produce({ bootstrap, topic, codec, acks }, lines) {
    const options = { clientId: 'test', bootstrapBrokers: [bootstrap] }
    const producer = new platformatic!.Producer(options)
    for (const chunk of chunksOf(lines)) {
      const messages = chunk.map(({ value, timestampMs }) => ({
        topic,
        partition: 0,
        value,
        timestamp: BigInt(timestampMs),
      }))
      await producer.send({ messages, acks, compression: codec })
    }
    await producer.close()
  },
}

export const testClients: readonly TestClient[] = [
  kcatClient,
  ourClient,
  kafkajsClient,
  platformaticClient,
]
