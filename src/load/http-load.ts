/**
 * One run of autocannon, all its connections: requests encoded once, every answer counted as it comes, and at the end
 * no request left behind. autocannon itself ends by closing its sockets under the requests in flight, which the server
 * stores and nobody counts: here it stops sending, and waits until everything is answered.
 *
 *   window   ── warm-up ── measured ──┐
 *   requests ▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶▶┘ (no more)
 *   answers    ◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀◀ ◀◀ (all)      stop
 */
import type { Client, Options, Request, Result } from 'autocannon'
import type { Load } from './generator.ts'
import { bodyOf, contentTypeOf } from './http-bodies.ts'
import type { HttpLoadSettings } from './http-generator.ts'
import type { LoadWindow, Totals } from './load-window.ts'

type Autocannon = (options: Options) => PromiseLike<Result> & { stop(): void }

/** What autocannon's types do not tell: it sends the next request by this method, after every answer. */
interface Sending {
  _doRequest?: () => void
}

/** Response headers as they came: name, value, name, value. */
interface ResponseHead {
  readonly headers?: readonly string[]
}

/** Different bodies, for all connections together; each connection gets a copy. */
const tapeBytesMax = 32 * 1024 * 1024
const bodiesMax = 64
const nextOffsetHeader = 'x-odradek-next-offset'
/** Longer than any load: the window ends it. */
const forEverSeconds = 1_000_000
const stopLookMs = 50
const complaintCharsMax = 300

export class HttpLoad implements Load {
  readonly #autocannon: Autocannon
  readonly #settings: HttpLoadSettings
  readonly #window: LoadWindow
  readonly #totals: Totals
  readonly #requests: Request[]
  /** autocannon connects again without a word, and then has more than this on their way. */
  readonly #inFlightMax: number
  readonly #clients: Client[] = []
  #sent = 0
  #answered = 0
  #isSending = true
  #finish: (error?: Error) => void = () => undefined

  static async prepare(
    settings: HttpLoadSettings,
    window: LoadWindow,
    totals: Totals,
  ): Promise<HttpLoad> {
    const { default: autocannon } = await import('autocannon')
    return new HttpLoad(autocannon as unknown as Autocannon, settings, window, totals)
  }

  private constructor(
    autocannon: Autocannon,
    settings: HttpLoadSettings,
    window: LoadWindow,
    totals: Totals,
  ) {
    this.#autocannon = autocannon
    this.#settings = settings
    this.#window = window
    this.#totals = totals
    const isProducing = settings.mode === 'produce'
    this.#requests = isProducing ? produceRequests(settings) : [{}]
    this.#inFlightMax = settings.connectionCount * (isProducing ? settings.pipelining : 1)
  }

  async run(): Promise<void> {
    const { url, connectionCount, pipelining, mode } = this.#settings
    const finished = new Promise<void>((resolve, reject) => {
      this.#finish = error => {
        this.#finish = () => undefined
        if (error === undefined) resolve()
        else reject(error)
      }
    })
    const run = this.#autocannon({
      url,
      connections: connectionCount,
      pipelining: mode === 'produce' ? pipelining : 1,
      requests: this.#requests,
      setupClient: client => this.#setUp(client),
      duration: forEverSeconds,
      sampleInt: stopLookMs,
    })
    try {
      await finished
    } finally {
      run.stop()
      await run
    }
  }

  /** Called for each connection before its first request. */
  #setUp(client: Client): void {
    const connection = this.#clients.push(client) - 1
    let lastChunk: Buffer | null = null
    const pull = this.#settings.mode === 'consume' ? this.#pull(client, connection) : null
    client.on('body', chunk => {
      lastChunk = chunk
    })
    const events: NodeJS.EventEmitter = client
    events.on('request', () => {
      if (++this.#sent - this.#answered <= this.#inFlightMax) return
      this.#finish(new Error(`the server hung up ${this.#soFar()}`))
    })
    events.on('connError', (error: Error) => {
      this.#finish(new Error(`${error.message} ${this.#soFar()}`))
    })
    events.on('timeout', () => this.#finish(new Error(`no answer for 10 s ${this.#soFar()}`)))
    client.on('response', (status, responseBytes, latencyMs) => {
      try {
        if (status < 200 || status > 299) throw new Error(refusal(status, lastChunk))
        this.#count(latencyMs, pull === null ? null : pull(responseBytes))
      } catch (error) {
        this.#stopSending()
        this.#finish(new Error(`${(error as Error).message} ${this.#soFar()}`))
      }
    })
  }

  /** `pulled`: records of this answer; null: they were sent. */
  #count(latencyMs: number, pulled: number | null): void {
    const { recordsPerBatch, recordBytes } = this.#settings
    const messages = pulled ?? recordsPerBatch
    const totals = this.#totals
    this.#answered++
    totals.requests++
    totals.messages += messages
    totals.payloadBytes += messages * recordBytes
    if (pulled === null) totals.logBytes += messages * recordBytes
    this.#window.answered(latencyMs)
    if (this.#isSending && !this.#window.advance(totals)) this.#stopSending()
    if (!this.#isSending && this.#answered === this.#sent) this.#finish()
  }

  #stopSending(): void {
    this.#isSending = false
    for (const client of this.#clients as (Client & Sending)[]) {
      if (client._doRequest === undefined) throw new Error('this autocannon is not known')
      client._doRequest = () => undefined
    }
  }

  /**
   * Makes `client` read a partition from its share of the log on, around its end.
   * @returns what tells the number of records of an answer, by its head
   */
  #pull(client: Client, connection: number): (responseBytes: number) => number {
    const { topic, endOffsets, connectionCount, pullBytes, accept, recordBytes } = this.#settings
    const filled = [...endOffsets.keys()].filter(index => endOffsets[index]! > 0)
    if (filled.length === 0) throw new Error(`topic ${topic} is empty`)
    const partition = filled[connection % filled.length]!
    const endOffset = endOffsets[partition]!
    let offset = Math.floor((endOffset * connection) / connectionCount)
    let nextOffset = -1
    const path = `/topics/${encodeURIComponent(topic)}/partitions/${partition}/records`
    const headers = { Accept: accept }
    const setupRequest = (request: Request): Request => ({
      ...request,
      method: 'GET',
      path: `${path}?offset=${offset}&max_bytes=${pullBytes}`,
      headers,
    })
    client.setRequests([{ setupRequest }])
    client.on('headers', head => {
      nextOffset = nextOffsetOf((head as ResponseHead).headers ?? [])
    })
    return responseBytes => {
      if (nextOffset < 0) throw new Error(`an answer without ${nextOffsetHeader}`)
      const count = nextOffset - offset
      if (count <= 0) throw new Error(`nothing to read at offset ${offset}`)
      if (responseBytes < count * recordBytes) {
        throw new Error(`${responseBytes} bytes for ${count} records from offset ${offset}`)
      }
      offset = nextOffset >= endOffset ? 0 : nextOffset
      return count
    }
  }

  #soFar(): string {
    return `after ${this.#answered} answers`
  }
}

function produceRequests(settings: HttpLoadSettings): Request[] {
  const { topic, acks, bodyKind, recordsPerBatch, recordBytes, connectionCount } = settings
  const path = `/topics/${encodeURIComponent(topic)}?acks=${acks === -1 ? 'all' : acks}`
  const perBody = connectionCount * recordsPerBatch * recordBytes
  const bodyCount = Math.max(1, Math.min(bodiesMax, Math.floor(tapeBytesMax / perBody)))
  return Array.from({ length: bodyCount }, (_, seed) => ({
    method: 'POST',
    path,
    headers: { 'Content-Type': contentTypeOf(bodyKind) },
    body: bodyOf(bodyKind, recordsPerBatch, recordBytes, seed),
  }))
}

function nextOffsetOf(headers: readonly string[]): number {
  for (let at = 0; at < headers.length; at += 2) {
    if (headers[at]!.toLowerCase() === nextOffsetHeader) return Number(headers[at + 1])
  }
  return -1
}

/** The broker's own words, which end the chunk that its answer came in. */
function refusal(status: number, chunk: Buffer | null): string {
  const text = chunk?.toString('utf8') ?? ''
  const body = text.slice(text.lastIndexOf('\r\n\r\n') + 1).trim()
  return `answer ${status}: ${body.slice(0, complaintCharsMax)}`
}
