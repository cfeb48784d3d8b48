/**
 * Consuming side of the load generator: one fetch in flight on a connection, as librdkafka and the Java client do,
 * from the start of every partition; at the end it starts over, so the log stays in the page cache. Records are
 * counted by batch headers, offsets must continue, CRCs are checked when asked.
 */

import { createConnection, type Socket } from 'node:net'
import { crc32c } from '../protocol/crc32c.ts'
import { Errors, errorName } from '../protocol/errors.ts'
import { fetchRequestFor, fetchTopic } from '../protocol/fetch-request.ts'
import { Fetch } from '../protocol/messages/fetch.ts'
import {
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  batchBytesAt,
  crcAt,
  lastOffsetDeltaAt,
  recordCountAt,
} from '../protocol/record-batch.ts'
import type { LoadWindow, Totals } from './load-window.ts'
import { decodeResponse, encodeRequest } from './wire-messages.ts'

/** What librdkafka (kcat) sends. */
const fetchVersion = 11
/** The CRC covers a batch from its attributes on. */
const crcStart = 21

export interface ConsumeSettings {
  readonly host: string
  readonly port: number
  readonly topic: string
  readonly partitionCount: number
  readonly recordBytes: number
  readonly maxBytes: number
  readonly partitionMaxBytes: number
  readonly checkCrc: boolean
}

/** One connection that fetches until `window` ends. */
export class ConsumeLoad {
  readonly #settings: ConsumeSettings
  readonly #window: LoadWindow
  readonly #totals: Totals
  /** Next offset per partition. */
  readonly #offsets: number[]
  /** One response at a time; a first batch over the limits may still come whole, hence the spare room. */
  readonly #frame: Buffer
  #frameEnd = 0
  #correlationId = 0
  #sentMs = 0
  #socket: Socket | null = null
  #finish: (error?: Error) => void = () => undefined

  constructor(settings: ConsumeSettings, window: LoadWindow, totals: Totals) {
    this.#settings = settings
    this.#window = window
    this.#totals = totals
    this.#offsets = Array.from({ length: settings.partitionCount }, () => 0)
    this.#frame = Buffer.allocUnsafeSlow(settings.maxBytes + 2 * 1024 * 1024)
  }

  /** Resolves when the window has ended; rejects on any error code, gap, or empty answer from a filled log. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#finish = error => {
        this.#finish = () => undefined
        this.#socket?.destroy()
        if (error === undefined) resolve()
        else reject(error)
      }
      const { host, port } = this.#settings
      const onread = {
        buffer: () => this.#frame.subarray(this.#frameEnd),
        callback: (byteCount: number) => this.#onBytes(byteCount),
      }
      this.#socket = createConnection({ host, port, noDelay: true, onread })
      this.#socket.on('connect', () => this.#fetch())
      this.#socket.on('error', error => this.#finish(error))
      this.#socket.on('close', () => this.#finish(new Error('the server hung up')))
    })
  }

  #onBytes(byteCount: number): boolean {
    this.#frameEnd += byteCount
    if (this.#frameEnd < 4) return true
    const frameBytes = 4 + this.#frame.readInt32BE(0)
    try {
      if (frameBytes > this.#frame.length) throw new Error(`a response of ${frameBytes} bytes`)
      if (this.#frameEnd < frameBytes) return true
      this.#takeResponse(this.#frame.subarray(0, frameBytes))
      this.#frameEnd = 0
      this.#window.answered(performance.now() - this.#sentMs)
      if (this.#window.advance(this.#totals)) this.#fetch()
      else this.#finish()
    } catch (error) {
      this.#finish(error as Error)
    }
    return true
  }

  #fetch(): void {
    const { topic, maxBytes, partitionMaxBytes } = this.#settings
    const wishes = this.#offsets.map((fetchOffset, partition) => ({
      partition,
      fetchOffset,
      maxBytes: partitionMaxBytes,
    }))
    this.#correlationId++
    const terms = { maxWaitMs: 500, minBytes: 1, maxBytes }
    const wanted = fetchRequestFor(terms, [fetchTopic(topic, wishes)])
    const request = encodeRequest(Fetch, fetchVersion, this.#correlationId, wanted)
    this.#sentMs = performance.now()
    this.#socket!.write(request)
  }

  #takeResponse(frame: Uint8Array): void {
    const { correlationId, response } = decodeResponse(Fetch, fetchVersion, frame)
    if (correlationId !== this.#correlationId) throw new Error(`answer to ${correlationId}`)
    if (response.errorCode !== Errors.NONE) throw new Error(errorName(response.errorCode))
    let messages = 0
    for (const partition of response.responses[0]?.partitions ?? []) {
      const { partitionIndex, errorCode, highWatermark, records } = partition
      if (errorCode !== Errors.NONE) {
        throw new Error(`fetch of partition ${partitionIndex}: ${errorName(errorCode)}`)
      }
      if (records !== null) messages += this.#takeBatches(partitionIndex, records)
      if (this.#offsets[partitionIndex]! >= highWatermark) this.#offsets[partitionIndex] = 0
    }
    if (messages === 0) throw new Error('an empty answer from a log that has records')
    this.#totals.requests++
    this.#totals.messages += messages
    this.#totals.payloadBytes += messages * this.#settings.recordBytes
  }

  /** Walks whole batches; a last one that was cut short is asked for again, as every client does. */
  #takeBatches(partition: number, bytes: Uint8Array): number {
    let messages = 0
    let at = 0
    while (bytes.length - at >= BATCH_HEADER_BYTES) {
      const end = at + batchBytesAt(bytes, at)
      if (end > bytes.length) break
      const baseOffset = baseOffsetAt(bytes, at)
      if (baseOffset !== this.#offsets[partition]) {
        throw new Error(`partition ${partition}: ${baseOffset} follows ${this.#offsets[partition]}`)
      }
      if (
        this.#settings.checkCrc &&
        crc32c(bytes.subarray(at + crcStart, end)) !== crcAt(bytes, at)
      ) {
        throw new Error(`partition ${partition}: bad CRC at offset ${baseOffset}`)
      }
      this.#offsets[partition] = baseOffset + lastOffsetDeltaAt(bytes, at) + 1
      messages += recordCountAt(bytes, at)
      at = end
    }
    return messages
  }
}
