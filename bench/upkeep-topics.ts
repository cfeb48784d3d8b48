/** What `bench upkeep` does with topics: creates, fills, configures, deletes them; and reads the broker's counters. */

import { runLoadProcess } from '../src/load/load-process.ts'
import { requestOnce } from '../src/load/wire-messages.ts'
import { produceVersion } from '../src/load/wire-produce.ts'
import { encodeBatch } from '../src/protocol/encode-batch.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { CreateTopics } from '../src/protocol/messages/create-topics.ts'
import { DeleteTopics } from '../src/protocol/messages/delete-topics.ts'
import { IncrementalAlterConfigs } from '../src/protocol/messages/incremental-alter-configs.ts'
import { Produce } from '../src/protocol/messages/produce.ts'
import type { MeasuredServer } from './server-process.ts'

const timeoutMs = 30_000

export async function createTopic(server: MeasuredServer, name: string): Promise<void> {
  const response = await requestOnce(server, CreateTopics, 4, {
    topics: [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs,
    validateOnly: false,
  })
  expectNone(`creating topic ${name}`, response.topics[0]?.errorCode)
}

export async function deleteTopic(server: MeasuredServer, name: string): Promise<void> {
  const response = await requestOnce(server, DeleteTopics, 1, {
    topics: [],
    topicNames: [name],
    timeoutMs,
  })
  expectNone(`deleting topic ${name}`, response.responses[0]?.errorCode)
}

export async function alterTopic(
  server: MeasuredServer,
  topic: string,
  name: string,
  value: string,
): Promise<void> {
  const configs = [{ name, configOperation: 0, value }]
  const response = await requestOnce(server, IncrementalAlterConfigs, 0, {
    resources: [{ resourceType: 2, resourceName: topic, configs }],
    validateOnly: false,
  })
  expectNone(`setting ${name}`, response.responses[0]?.errorCode)
}

/** Creates the topic and fills it with records of zeros, as fast as the broker takes them. */
export async function fillPlain(
  server: MeasuredServer,
  topic: string,
  bytes: number,
): Promise<void> {
  await createTopic(server, topic)
  await runLoadProcess('wire', {
    host: server.host,
    port: server.port,
    topic,
    recordsPerBatch: 1000,
    acks: -1,
    inFlight: 16,
    seconds: 600,
    warmupSeconds: 0,
    payloadBytesMax: bytes,
  })
}

/** Creates the topic and updates every key twice, a batch of 1,000 records at a time, in another order each time. */
export async function fillKeyed(
  server: MeasuredServer,
  topic: string,
  bytes: number,
): Promise<void> {
  await createTopic(server, topic)
  const value = Buffer.alloc(200, 'value ')
  const keyCount = Math.floor(bytes / 450)
  let record = 0
  for (let written = 0; written < bytes; ) {
    const records = Array.from({ length: 1000 }, () => ({
      key: Buffer.from(`key ${(record++ * 7919) % keyCount}`),
      value,
    }))
    const batch = encodeBatch({ records })
    const response = await requestOnce(server, Produce, produceVersion, {
      transactionalId: null,
      acks: 1,
      timeoutMs,
      topicData: [{ name: topic, partitionData: [{ index: 0, records: batch }] }],
    })
    expectNone('filling', response.responses[0]?.partitionResponses[0]?.errorCode)
    written += batch.length
  }
}

/** Sum over the label sets of a metric. */
export async function readCounter(server: MeasuredServer, name: string): Promise<number> {
  const http = /http=(\S+)/.exec(server.readyLine)?.[1]
  const text = await (await fetch(`http://${http}/metrics`)).text()
  let sum = 0
  for (const line of text.split('\n')) {
    if (line.startsWith(name)) sum += Number(line.slice(line.lastIndexOf(' ') + 1))
  }
  return sum
}

function expectNone(what: string, errorCode = -1): void {
  if (errorCode !== Errors.NONE) throw new Error(`${what}: ${errorName(errorCode)}`)
}
