/** Members of groups as tests run them: readers that take note of what they were handed. */
import kafkajs from 'kafkajs'
import { expect, onTestFinished } from 'vitest'
import { Consumer, type ConsumerOptions } from '../../src/client/consumer.ts'
import type { RebalanceEvent } from '../../src/client/group-options.ts'
import type { ConsumedMessage, MessageStream } from '../../src/client/message-stream.ts'
import { Producer } from '../../src/client/producer.ts'

export interface ReaderOptions extends ConsumerOptions {
  readonly streamCount?: number
  readonly untilEnd?: boolean
  /** Called with every record before the next one is asked for. */
  readonly onRecord?: (record: ConsumedMessage, stream: MessageStream) => void | Promise<void>
}

export interface GroupReader {
  readonly consumer: Consumer
  readonly streams: readonly MessageStream[]
  /** Every record, as the number it holds. */
  readonly numbers: number[]
  readonly records: ConsumedMessage[]
  readonly events: RebalanceEvent[]
  readonly warnings: string[]
  /** Partitions of each stream. */
  readonly parts: (readonly number[])[]
  /** Resolves when all streams are done; rejects with what ended one of them. */
  readonly done: Promise<void>
  close(): Promise<void>
}

/** Short enough for tests that wait for it, and no test waits for less than it. */
export const fast = { heartbeatMs: 50, sessionTimeoutMs: 30_000, revokeGraceMs: 30_000 }

export const numbersUpTo = (end: number): number[] => [...Array(end).keys()]
export const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b)

/** Values `from` ... `to - 1` as text, each in partition value mod `partitions`. */
export async function produceNumbers(
  bootstrap: string,
  topic: string,
  [from, to]: readonly [number, number],
  partitions: number,
): Promise<void> {
  await using producer = new Producer({ bootstrap, acks: 'all' })
  const values = numbersUpTo(to - from).map(index => from + index)
  await producer.send(
    topic,
    values.map(value => ({ value: `${value}`, partition: value % partitions })),
  )
}

/**
 * A member of `groupId` that reads until it is closed, at the latest when the test ends. A test may await it later on,
 * and fail before: then nobody wants to hear that it was closed while it joined.
 */
export function readInGroup(
  bootstrap: string,
  groupId: string,
  topic: string,
  options: ReaderOptions = {},
): Promise<GroupReader> {
  const reading = startReading(bootstrap, groupId, topic, options)
  reading.catch(() => undefined)
  return reading
}

async function startReading(
  bootstrap: string,
  groupId: string,
  topic: string,
  options: ReaderOptions,
): Promise<GroupReader> {
  const { streamCount = 1, untilEnd, onRecord, ...rest } = options
  const records: ConsumedMessage[] = []
  const events: RebalanceEvent[] = []
  const warnings: string[] = []
  const consumer = new Consumer({
    bootstrap,
    groupId,
    ...fast,
    onWarning: message => warnings.push(message),
    onRebalance: event => void events.push(event),
    ...rest,
  })
  const close = () => consumer.close()
  onTestFinished(close)
  const streams = await consumer.createMessageStreams(topic, streamCount, { untilEnd })
  const read = async (stream: MessageStream) => {
    for await (const record of stream) {
      records.push(record)
      await onRecord?.(record, stream)
    }
  }
  const done = Promise.all(streams.map(read)).then(() => undefined)
  done.catch(() => undefined)
  return {
    consumer,
    streams,
    records,
    events,
    warnings,
    done,
    close,
    get numbers() {
      return records.map(({ value }) => Number(value))
    },
    get parts() {
      return streams.map(({ partitions }) => partitions)
    },
  }
}

/** Waits until these readers hold `partitions` partitions in all, none twice. */
export async function shared(readers: readonly GroupReader[], partitions: number): Promise<void> {
  const all = () => sorted(readers.flatMap(({ parts }) => parts.flat()))
  await expect.poll(all).toEqual(numbersUpTo(partitions))
}

export function kafkajsOf(bootstrap: string): kafkajs.Kafka {
  return new kafkajs.Kafka({ brokers: [bootstrap], logLevel: kafkajs.logLevel.NOTHING })
}

/** As kafkajs sees them: by partition, -1 where there is none. */
export async function committedOffsets(
  bootstrap: string,
  groupId: string,
  topic: string,
): Promise<number[]> {
  const admin = kafkajsOf(bootstrap).admin()
  await admin.connect()
  const [row] = await admin.fetchOffsets({ groupId, topics: [topic] })
  await admin.disconnect()
  return row.partitions
    .toSorted((a, b) => a.partition - b.partition)
    .map(({ offset }) => Number(offset))
}
