/** A real broker and a client of REST Proxy v2 that shows the whole answer. */
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { type Broker, startBroker } from '../../../src/broker.ts'

/** What JSON.parse gives: tests look into it as they please. */
export type Json = ReturnType<typeof JSON.parse>

export interface RestAnswer {
  readonly status: number
  readonly type: string | null
  readonly text: string
  /** Null for an empty body. */
  readonly json: Json
}

export interface CallOptions {
  readonly body?: unknown
  /** Default `application/vnd.kafka.v2+json`; null sends none. */
  readonly type?: string | null
  readonly accept?: string
  readonly signal?: AbortSignal
}

export type Call = (method: string, path: string, options?: CallOptions) => Promise<RestAnswer>

export const v2 = 'application/vnd.kafka.v2+json'
export const jsonV2 = 'application/vnd.kafka.json.v2+json'
export const binaryV2 = 'application/vnd.kafka.binary.v2+json'

export function callOf(httpUrl: string): Call {
  return async (method, path, { body, type = v2, accept, signal } = {}) => {
    const headers = new Headers()
    if (type !== null && body !== undefined) headers.set('content-type', type)
    if (accept !== undefined) headers.set('accept', accept)
    const sent = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const response = await fetch(httpUrl + path, { method, headers, body: sent, signal })
    const text = await response.text()
    return {
      status: response.status,
      type: response.headers.get('content-type'),
      text,
      json: text === '' ? null : JSON.parse(text),
    }
  }
}

export async function startRest(set: Record<string, string | number | boolean> = {}) {
  const broker: Broker = await startBroker({ set: { 'num.partitions': 2, ...set } })
  onTestFinished(() => broker.close())
  return { broker, call: callOf(broker.httpUrl!) }
}

/** One broker for all tests of a file that only ask it. */
export function sharedRest(prepare: (call: Call) => Promise<void>): Call {
  let broker: Broker | null = null
  let call: Call | null = null
  beforeAll(async () => {
    broker = await startBroker({ set: { 'num.partitions': 2 } })
    call = callOf(broker.httpUrl!)
    await prepare(call)
  })
  afterAll(() => broker?.close())
  return (method, path, options) => call!(method, path, options)
}

/** Produces values to one partition, as JSON. */
export async function put(
  call: Call,
  topic: string,
  values: readonly unknown[],
  partition = 0,
): Promise<void> {
  const records = values.map(value => ({ value, partition }))
  const { status, text } = await call('POST', `/topics/${topic}`, {
    body: { records },
    type: jsonV2,
  })
  if (status !== 200) throw new Error(`produce: ${status} ${text}`)
}

/** An instance of its own group unless told otherwise. @returns its path */
export async function createInstance(
  call: Call,
  group: string,
  config: Record<string, unknown> = {},
): Promise<string> {
  const body = { format: 'json', 'auto.offset.reset': 'earliest', ...config }
  const { status, json, text } = await call('POST', `/consumers/${group}`, { body })
  if (status !== 200) throw new Error(`create: ${status} ${text}`)
  return new URL(json.base_uri).pathname
}

export interface RestRecord {
  readonly topic: string
  readonly key: unknown
  readonly value: Json
  readonly partition: number
  readonly offset: number
}

/** Asks for records until there are `count`. */
export async function take(call: Call, path: string, count: number): Promise<RestRecord[]> {
  const records: RestRecord[] = []
  while (records.length < count) {
    const { status, json, text } = await call('GET', `${path}/records?timeout=5000`)
    if (status !== 200) throw new Error(`records: ${status} ${text}`)
    records.push(...json)
  }
  return records
}
