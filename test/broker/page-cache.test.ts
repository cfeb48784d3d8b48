/**
 * There is no message cache in the process: a gigabyte written is read back, after a restart, from the page cache.
 * Nothing comes from the disk, and memory does not grow with the data.
 */
import { existsSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Consumer } from '../../src/client/consumer.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'
import { requireThat } from '../support/requires.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { makeTempDirectory } from '../support/temp-directory.ts'
import { WireClient } from '../support/wire-client.ts'
import { createTopic, lookUp, produce } from './fixture.ts'

const MIB = 1024 * 1024
const recordBytes = 200
const recordsPerBatch = 4500
/** Produce requests on the way per partition. */
const windowSize = 4
const partitionCount = 2
const arenasBytes = 2 * 64 * MIB
const slackBytes = 20 * MIB

/** A number of /proc/PID/io or /proc/PID/status, in bytes. */
function procNumber(pid: number, file: 'io' | 'status', name: string): number {
  const text = readFileSync(`/proc/${pid}/${file}`, 'utf8')
  const [, digits, unit] = new RegExp(`^${name}:\\s+(\\d+)( kB)?$`, 'm').exec(text) ?? []
  return Number(digits) * (unit === undefined ? 1 : 1024)
}

const rssBytes = ({ pid }: SpawnedBroker) => procNumber(pid, 'status', 'VmRSS')
const peakRssBytes = ({ pid }: SpawnedBroker) => procNumber(pid, 'status', 'VmHWM')

/** Half of what the machine has free stays free: a page cache under pressure would prove nothing. */
function dataBytes(): number {
  const text = readFileSync('/proc/meminfo', 'utf8')
  const availableBytes = Number(/^MemAvailable:\s+(\d+)/m.exec(text)?.[1]) * 1024
  return availableBytes > 3 * 1024 * MIB ? 1024 * MIB : 256 * MIB
}

function makeBatch(): Buffer {
  const records = Array.from({ length: recordsPerBatch }, (_, i) => ({
    key: null,
    value: Buffer.alloc(recordBytes, `record ${i} of its batch, `),
  }))
  return encodeBatch({ records })
}

/** Sends `count` copies of a batch to one partition. */
async function fill(
  broker: SpawnedBroker,
  topic: string,
  partition: number,
  batch: Buffer,
  count: number,
): Promise<void> {
  const client = await WireClient.connect(broker.bootstrap)
  let sent = 0
  const sender = async (): Promise<void> => {
    while (sent++ < count) {
      const row = await produce(client, topic, batch, { partition, acks: 1 })
      expect(row.errorCode).toBe(Errors.NONE)
    }
  }
  await Promise.all(Array.from({ length: windowSize }, sender))
  client.close()
}

/** Reads everything; checks that offsets go up by one. @returns records and bytes of values */
async function readAll(broker: SpawnedBroker, topic: string) {
  await using consumer = new Consumer({ bootstrap: broker.bootstrap })
  const [stream] = await consumer.createMessageStreams(topic, 1, { untilEnd: true })
  const next = new Map<number, number>()
  let records = 0
  let bytes = 0
  for (let chunk = await stream.nextChunk(); chunk !== null; chunk = await stream.nextChunk()) {
    let expected = next.get(chunk.partition) ?? 0
    while (chunk.advance()) {
      if (chunk.offset !== expected) throw new Error(`offset ${chunk.offset}, not ${expected}`)
      expected++
      records++
      bytes += chunk.value()?.length ?? 0
    }
    next.set(chunk.partition, expected)
  }
  return { records, bytes }
}

test('a gigabyte, written and read after a restart, stays in the page cache', async context => {
  const hasProc = existsSync('/proc/self/io') && existsSync('/proc/meminfo')
  requireThat(context, hasProc, 'there is no /proc', 'use Linux')
  await using directory = await makeTempDirectory()
  const batch = makeBatch()
  const batchesEach = Math.ceil(dataBytes() / batch.length / partitionCount)
  const totalBytes = batchesEach * partitionCount * batch.length
  const recordsEach = batchesEach * recordsPerBatch

  const writer = await spawnBroker({ dataDirectory: directory.path })
  const idleBytes = rssBytes(writer)
  const client = await WireClient.connect(writer.bootstrap)
  const topic = await createTopic(client, { partitions: partitionCount })
  const partitions = Array.from({ length: partitionCount }, (_, partition) => partition)
  await Promise.all(partitions.map(index => fill(writer, topic, index, batch, batchesEach)))
  expect(peakRssBytes(writer), 'while writing').toBeLessThan(idleBytes + arenasBytes + slackBytes)
  client.close()
  expect(await writer.stop()).toBe(0)

  // A busy machine may have given cold pages away meanwhile; what has just been read is warm.
  let diskBytes = Number.POSITIVE_INFINITY
  for (let attempt = 0; attempt < 3 && diskBytes >= totalBytes / 100; attempt++) {
    await using reader = await spawnBroker({ dataDirectory: directory.path })
    const allowedBytes = rssBytes(reader) + arenasBytes + slackBytes
    const again = await WireClient.connect(reader.bootstrap)
    for (const partition of partitions) {
      expect(await lookUp(again, topic, -1, { partition })).toMatchObject({ offset: recordsEach })
    }
    again.close()
    expect(await readAll(reader, topic)).toEqual({
      records: partitionCount * recordsEach,
      bytes: partitionCount * recordsEach * recordBytes,
    })
    diskBytes = procNumber(reader.pid, 'io', 'read_bytes')
    expect(procNumber(reader.pid, 'io', 'rchar'), 'it was read at all').toBeGreaterThan(totalBytes)
    expect(peakRssBytes(reader), 'while reading').toBeLessThan(allowedBytes)
  }
  expect(diskBytes, 'from the disk').toBeLessThan(totalBytes / 100)
}, 300_000)
