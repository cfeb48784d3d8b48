/** A real broker for the tests of a file, called by fetch and by curl. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text as textOf } from 'node:stream/consumers'
import { afterAll, beforeAll } from 'vitest'
import { type Broker, startBroker } from '../../../src/broker.ts'
import { Admin } from '../../../src/client/admin.ts'

export const octets = 'application/octet-stream'
export const ndjson = 'application/x-ndjson'
export const lines = 'text/plain; format=lines'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Buffer
  /** Null when the answer is no JSON. What a produce request or a problem is answered with: not both. */
  readonly json: ProducedJson & ProblemJson
}

interface ProducedJson {
  readonly topic: string
  readonly partition: number
  readonly base_offset: string | null
  readonly count: number
  readonly durable: boolean
}

interface ProblemJson {
  readonly error_code: number
  readonly message: string
}

export interface SentRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: string
  readonly timestamp: number
  readonly key: string | null
  readonly value: unknown
  readonly headers: readonly { readonly name: string; readonly value: string }[]
}

export class Raw {
  broker!: Broker
  admin!: Admin
  #topics = 0

  get url(): string {
    return this.broker.httpUrl as string
  }

  async start(set: Record<string, string | number | boolean> = {}): Promise<void> {
    this.broker = await startBroker({ workers: 2, set })
    this.admin = new Admin({ bootstrap: this.broker.bootstrap })
  }

  async stop(): Promise<void> {
    await this.admin.close()
    await this.broker.close()
  }

  async newTopic(partitions = 1, configs: Record<string, string> = {}): Promise<string> {
    const name = `raw-${++this.#topics}`
    await this.admin.createTopic({ name, partitions, configs: new Map(Object.entries(configs)) })
    return name
  }

  async call(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(this.url + path, init)
    const bytes = Buffer.from(await response.arrayBuffer())
    const isJson = response.headers.get('content-type')?.includes('json') ?? false
    const isArray = isJson && !response.headers.get('content-type')?.includes('ndjson')
    const json = isArray && bytes.length > 0 ? JSON.parse(bytes.toString()) : null
    return { status: response.status, headers: response.headers, bytes, json }
  }

  post(
    path: string,
    type: string | null,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const sent = typeof body === 'string' ? new TextEncoder().encode(body) : body
    const typed = type === null ? headers : { 'content-type': type, ...headers }
    return this.call(path, { method: 'POST', headers: typed, body: sent })
  }

  async records(topic: string, query = '', partition = 0): Promise<SentRecord[]> {
    const answer = await this.call(`/topics/${topic}/partitions/${partition}/records${query}`)
    if (answer.status !== 200) throw new Error(answer.bytes.toString())
    return answer.json as unknown as SentRecord[]
  }

  async values(topic: string, partition = 0): Promise<unknown[]> {
    return (await this.records(topic, '', partition)).map(({ value }) => value)
  }
}

/** One broker for all tests of a file. */
export function sharedRaw(set: Record<string, string | number | boolean> = {}): Raw {
  const raw = new Raw()
  beforeAll(() => raw.start(set))
  afterAll(() => raw.stop())
  return raw
}

export interface CurlAnswer {
  readonly status: number
  readonly headers: string
  readonly body: string
}

/** Runs curl with `args` and `input` on its standard input (`--data-binary @-`). */
export async function curl(args: readonly string[], input?: string | Buffer): Promise<CurlAnswer> {
  const child = spawn('curl', ['-sS', '-i', '--max-time', '60', ...args])
  child.stdin.on('error', () => {})
  child.stdin.end(input ?? '')
  const [output, errors] = await Promise.all([textOf(child.stdout), textOf(child.stderr)])
  if (child.exitCode === null) await once(child, 'exit')
  if (child.exitCode !== 0) throw new Error(`curl ends with ${child.exitCode}: ${errors}`)
  let rest = output
  for (;;) {
    const end = rest.indexOf('\r\n\r\n')
    const headers = rest.slice(0, end)
    const status = Number(headers.split(' ')[1])
    rest = rest.slice(end + 4)
    // "100 Continue" stands before the answer.
    if (status >= 200) return { status, headers, body: rest }
  }
}
