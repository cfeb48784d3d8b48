/**
 * Encodes records one by one into a batch (magic 2) whose header is written when it is sealed. Dispatcher thread.
 * Buffers come from a pool and go back to it, so that a partition without records under way holds none.
 *
 *   | 61 bytes left free | record | record | record ...      grows up to the topic's max.message.bytes
 */
import {
  putBatchHeader,
  putRecord,
  recordBodyBytes,
  varintBytes,
} from '../../protocol/encode-batch.ts'
import { BATCH_HEADER_BYTES } from '../../protocol/record-batch.ts'
import type { IncomingRecord } from './log-backend.ts'

const bufferBytesMin = 16 * 1024
/** Buffers kept for the next batch. */
const spareCountMax = 16
const spareBytesMax = 1024 * 1024

export class BufferPool {
  readonly #spare: Buffer[] = []

  /** A buffer of at least `bytes`, its content undefined. */
  take(bytes = bufferBytesMin): Buffer {
    const at = this.#spare.findLastIndex(buffer => buffer.length >= bytes)
    if (at >= 0) return this.#spare.splice(at, 1)[0]
    let size = bufferBytesMin
    while (size < bytes) size *= 2
    return Buffer.allocUnsafeSlow(size)
  }

  give(buffer: Buffer): void {
    if (this.#spare.length < spareCountMax && buffer.length <= spareBytesMax) {
      this.#spare.push(buffer)
    }
  }
}

export class BatchWriter {
  readonly #pool: BufferPool
  #buffer: Buffer | null = null
  #pos = BATCH_HEADER_BYTES
  #baseMs = 0
  #maxMs = 0
  recordCount = 0

  constructor(pool: BufferPool) {
    this.#pool = pool
  }

  /** Bytes of the batch so far. */
  get bytes(): number {
    return this.#pos
  }

  /** Adds one record, unless the batch has one already and would grow beyond `bytesMax`: then false. */
  add(record: Readonly<IncomingRecord>, nowMs: number, bytesMax: number): boolean {
    const timestampMs = record.timestampMs < 0 ? nowMs : record.timestampMs
    const index = this.recordCount
    const baseMs = index === 0 ? timestampMs : this.#baseMs
    const delta = timestampMs - baseMs
    const bodyBytes = recordBodyBytes(record, delta, index)
    const end = this.#pos + varintBytes(bodyBytes) + bodyBytes
    if (end > bytesMax && index > 0) return false
    const buffer = this.#room(end)
    putRecord(buffer, this.#pos, record, bodyBytes, delta, index)
    this.#pos = end
    this.recordCount = index + 1
    this.#baseMs = baseMs
    this.#maxMs = index === 0 ? timestampMs : Math.max(this.#maxMs, timestampMs)
    return true
  }

  /** The batch, whole; a view that is good until `reset`. */
  seal(): Buffer {
    const batch = (this.#buffer as Buffer).subarray(0, this.#pos)
    putBatchHeader(batch, {
      recordCount: this.recordCount,
      baseTimestampMs: this.#baseMs,
      maxTimestampMs: this.#maxMs,
    })
    return batch
  }

  reset(): void {
    if (this.#buffer !== null) this.#pool.give(this.#buffer)
    this.#buffer = null
    this.#pos = BATCH_HEADER_BYTES
    this.recordCount = 0
  }

  #room(bytes: number): Buffer {
    const buffer = this.#buffer
    if (buffer !== null && buffer.length >= bytes) return buffer
    const larger = this.#pool.take(buffer === null ? bytes : Math.max(bytes, 2 * buffer.length))
    if (buffer !== null) {
      buffer.copy(larger, 0, 0, this.#pos)
      this.#pool.give(buffer)
    }
    this.#buffer = larger
    return larger
  }
}
