/**
 * Encodes records one behind another straight into the bytes of a record batch (KIP-98, magic 2): no object and no
 * buffer per record. The header is written when the batch is sent, because only then its producer id and sequence
 * are known; the records are compressed when the batch is sealed.
 *
 *   | header, 61 bytes, filled by `stamp` | record | record | ...
 *   record = | length varint | attributes 0 | timestamp delta varlong | offset delta varint
 *            | key length varint, key | value length varint, value | header count varint, headers |
 */
import { type CodecName, codecNumber, compress } from '../protocol/compression.ts'
import { crc32c } from '../protocol/crc32c.ts'
import { BATCH_HEADER_BYTES } from '../protocol/record-batch.ts'

export type Bytes = Uint8Array | string | null
export type Headers = readonly (readonly [name: string, value: Bytes])[]

const firstBytes = 1024
/** Longest record prefix up to the key: length 5, attributes 1, timestamp delta 10, offset delta 5. */
const prefixBytesMax = 21
const noHeaders: Headers = []

export class BatchBuilder {
  #bytes: Buffer
  #pos = BATCH_HEADER_BYTES
  #count = 0
  #baseTimestampMs = 0
  #maxTimestampMs = 0

  /** `bytes`: memory to start in, at least 1 KiB; the builder takes more by itself. */
  constructor(bytes: Buffer = Buffer.allocUnsafeSlow(firstBytes)) {
    this.#bytes = bytes
  }

  get count(): number {
    return this.#count
  }

  /** Size of the batch so far, uncompressed. */
  get sizeBytes(): number {
    return this.#pos
  }

  get maxTimestampMs(): number {
    return this.#maxTimestampMs
  }

  append(key: Bytes, value: Bytes, timestampMs: number, headers: Headers = noHeaders): void {
    const keyBytes = byteLength(key)
    const valueBytes = byteLength(value)
    let tailBytes = sizedBytes(keyBytes) + sizedBytes(valueBytes) + varintBytes(headers.length * 2)
    for (const [name, headerValue] of headers) {
      tailBytes += sizedBytes(byteLength(name)) + sizedBytes(byteLength(headerValue))
    }
    this.#beginRecord(timestampMs, tailBytes)
    this.#sized(key, keyBytes)
    this.#sized(value, valueBytes)
    this.#varint(headers.length)
    for (const [name, headerValue] of headers) {
      this.#sized(name, byteLength(name))
      this.#sized(headerValue, byteLength(headerValue))
    }
  }

  /** `append` of a record without key and headers whose value is `source[start, end)`: what a line of input is. */
  appendSlice(source: Buffer, start: number, end: number, timestampMs: number): void {
    const valueBytes = end - start
    this.#beginRecord(timestampMs, 2 + sizedBytes(valueBytes))
    this.#bytes[this.#pos++] = 1 // key length -1
    this.#varint(valueBytes)
    this.#pos += source.copy(this.#bytes, this.#pos, start, end)
    this.#bytes[this.#pos++] = 0 // no headers
  }

  /**
   * Ends the batch: the bytes of a whole batch whose CRC, producer fields and sequence still have to be stamped.
   * The builder must not be used any more; the memory it began with may be what is returned.
   */
  finish(codec: CodecName): Buffer {
    let batch = this.#bytes.subarray(0, this.#pos)
    if (codec !== 'none') {
      const packed = compress(codec, batch.subarray(BATCH_HEADER_BYTES))
      batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + packed.length)
      batch.set(packed, BATCH_HEADER_BYTES)
    }
    batch.fill(0, 0, BATCH_HEADER_BYTES)
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(-1, 12) // partition leader epoch: the broker's to fill
    batch[16] = 2
    batch.writeInt16BE(codecNumber(codec), 21)
    batch.writeInt32BE(this.#count - 1, 23)
    writeInt64(batch, this.#baseTimestampMs, 27)
    writeInt64(batch, this.#maxTimestampMs, 35)
    batch.writeInt32BE(this.#count, 57)
    stamp(batch, -1, -1, -1)
    return batch
  }

  /** Gives the builder's memory away, for another one to begin in. Only once what `finish` gave is not needed. */
  release(): Buffer {
    return this.#bytes
  }

  /** Writes everything in front of the key. `tailBytes` = key to headers. */
  #beginRecord(timestampMs: number, tailBytes: number): void {
    this.#ensure(prefixBytesMax + tailBytes)
    if (this.#count === 0) {
      this.#baseTimestampMs = timestampMs
      this.#maxTimestampMs = timestampMs
    } else if (timestampMs > this.#maxTimestampMs) {
      this.#maxTimestampMs = timestampMs
    }
    const timestampDelta = timestampMs - this.#baseTimestampMs
    const zigzag = timestampDelta < 0 ? -timestampDelta * 2 - 1 : timestampDelta * 2
    this.#varint(1 + uvarintBytes(zigzag) + varintBytes(this.#count * 2) + tailBytes)
    this.#bytes[this.#pos++] = 0
    this.#uvarint(zigzag)
    this.#varint(this.#count)
    this.#count++
  }

  #sized(bytes: Bytes, length: number): void {
    this.#varint(length)
    if (bytes === null) return
    if (typeof bytes === 'string') this.#bytes.write(bytes, this.#pos, length, 'utf8')
    else this.#bytes.set(bytes, this.#pos)
    this.#pos += length
  }

  /** A 32-bit number in zigzag form; -1 (null) takes one byte. */
  #varint(value: number): void {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0
    while (rest > 0x7f) {
      this.#bytes[this.#pos++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#pos++] = rest
  }

  /** Beyond 32 bits: time differences of more than 24 days. */
  #uvarint(value: number): void {
    let rest = value
    while (rest > 0x7f) {
      this.#bytes[this.#pos++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#pos++] = rest
  }

  #ensure(moreBytes: number): void {
    const needed = this.#pos + moreBytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, needed))
    this.#bytes.copy(larger, 0, 0, this.#pos)
    this.#bytes = larger
  }
}

/** Sets what idempotence needs and the CRC over it; -1 for all three where there is no producer id. */
export function stamp(
  batch: Buffer,
  producerId: number,
  producerEpoch: number,
  baseSequence: number,
): void {
  writeInt64(batch, producerId, 43)
  batch.writeInt16BE(producerEpoch, 51)
  batch.writeInt32BE(baseSequence, 53)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
}

function writeInt64(bytes: Buffer, value: number, pos: number): void {
  const high = Math.floor(value / 0x1_0000_0000)
  bytes.writeInt32BE(high, pos)
  bytes.writeUInt32BE(value - high * 0x1_0000_0000, pos + 4)
}

function byteLength(bytes: Bytes): number {
  if (bytes === null) return -1
  return typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
}

/** Bytes of a length and what it counts; null takes the one byte of -1. */
function sizedBytes(length: number): number {
  return length < 0 ? 1 : varintBytes(length * 2) + length
}

/** `zigzag` below 2^32. */
function varintBytes(zigzag: number): number {
  if (zigzag < 0x80) return 1
  if (zigzag < 0x4000) return 2
  if (zigzag < 0x20_0000) return 3
  return zigzag < 0x1000_0000 ? 4 : 5
}

function uvarintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest > 0x7f; rest = Math.floor(rest / 128)) bytes++
  return bytes
}
