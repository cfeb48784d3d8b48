/** The records of one request as the backend walks them: one record, the lines of a body, a list. Any thread. */
import { recordBodyBytes, varintBytes } from '../../protocol/encode-batch.ts'
import type { IncomingRecord, RecordSource } from './log-backend.ts'

const lineFeed = 0x0a
const carriageReturn = 0x0d

type Headers = IncomingRecord['headers']

export const noHeaders: Headers = Object.freeze([])

/** Size of a record that is the only one of its batch. */
export function recordBytesAlone(record: Readonly<IncomingRecord>): number {
  const bodyBytes = recordBodyBytes(record, 0, 0)
  return varintBytes(bodyBytes) + bodyBytes
}

function contentBytes({ key, value, headers }: Readonly<IncomingRecord>): number {
  let bytes = (key?.length ?? 0) + (value?.length ?? 0)
  for (const [name, content] of headers) bytes += Buffer.byteLength(name) + (content?.length ?? 0)
  return bytes
}

const copyOf = (bytes: Uint8Array | null): Uint8Array | null => bytes && Buffer.from(bytes)

/** One record; the object may be used again for the next once `produce` has returned true. */
export class OneRecord implements RecordSource {
  readonly count = 1
  bytes = 0
  largestBytes = 0
  hasKeyless = true
  earliestMs = -1
  latestMs = -1
  #key: Uint8Array | null = null
  #value: Uint8Array | null = null
  #headers: Headers = noHeaders

  set(
    value: Uint8Array | null,
    key: Uint8Array | null = null,
    headers: Headers = noHeaders,
    timestampMs = -1,
  ): this {
    this.#key = key
    this.#value = value
    this.#headers = headers
    this.hasKeyless = key === null
    this.earliestMs = timestampMs
    this.latestMs = timestampMs
    const record = { key, value, headers, timestampMs }
    this.bytes = contentBytes(record)
    this.largestBytes = recordBytesAlone(record)
    return this
  }

  next(record: IncomingRecord): void {
    record.key = this.#key
    record.value = this.#value
    record.headers = this.#headers
    record.timestampMs = this.earliestMs
  }

  keep(): void {
    this.#key = copyOf(this.#key)
    this.#value = copyOf(this.#value)
  }
}

/** How a body is cut into lines. A line ends with LF or CRLF, which is not part of it; the last one may end without. */
export type LineMode =
  /** Every line is a record, an empty line one with an empty value. */
  | 'lines'
  /** Lines that hold nothing but blanks are skipped; the others are records as they stand, not parsed. */
  | 'ndjson'

export interface LineOptions {
  readonly key?: Uint8Array | null
  readonly headers?: Headers
  readonly timestampMs?: number
}

/** The lines of `body` as records that share key, headers and time; null when there is none. */
export function lineRecords(
  body: Buffer,
  mode: LineMode,
  options: LineOptions = {},
): RecordSource | null {
  const lines = new LineRecords(body, mode, options)
  return lines.count === 0 ? null : lines
}

class LineRecords implements RecordSource {
  count = 0
  bytes = 0
  largestBytes = 0
  readonly hasKeyless: boolean
  readonly earliestMs: number
  readonly latestMs: number
  readonly #mode: LineMode
  readonly #key: Uint8Array | null
  readonly #headers: Headers
  #body: Buffer
  #pos = 0
  /** Of the line found last. */
  #start = 0
  #end = 0

  constructor(body: Buffer, mode: LineMode, { key = null, headers, timestampMs }: LineOptions) {
    this.#body = body
    this.#mode = mode
    this.#key = key
    this.#headers = headers ?? noHeaders
    this.hasKeyless = key === null
    this.earliestMs = timestampMs ?? -1
    this.latestMs = this.earliestMs
    this.#measure()
  }

  next(record: IncomingRecord): void {
    this.#findLine()
    record.key = this.#key
    record.value = this.#body.subarray(this.#start, this.#end)
    record.headers = this.#headers
    record.timestampMs = this.earliestMs
  }

  keep(): void {
    this.#body = Buffer.from(this.#body)
  }

  #measure(): void {
    let longest = 0
    let valueBytes = 0
    while (this.#findLine()) {
      this.count++
      const bytes = this.#end - this.#start
      valueBytes += bytes
      if (bytes > longest) longest = bytes
    }
    this.#pos = 0
    const shared = { key: this.#key, headers: this.#headers, timestampMs: -1 }
    const sharedBytes = contentBytes({ ...shared, value: null })
    this.bytes = valueBytes + this.count * sharedBytes
    const value = this.#body.subarray(0, longest)
    this.largestBytes = recordBytesAlone({ ...shared, value })
  }

  /** Moves to the next line that is a record. */
  #findLine(): boolean {
    const body = this.#body
    while (this.#pos < body.length) {
      const start = this.#pos
      const at = body.indexOf(lineFeed, start)
      let end = at < 0 ? body.length : at
      this.#pos = at < 0 ? body.length : at + 1
      if (at > start && body[at - 1] === carriageReturn) end--
      if (this.#mode === 'ndjson' && isBlank(body, start, end)) continue
      this.#start = start
      this.#end = end
      return true
    }
    return false
  }
}

function isBlank(body: Buffer, start: number, end: number): boolean {
  for (let pos = start; pos < end; pos++) {
    const byte = body[pos]
    if (byte !== 0x20 && byte !== 0x09 && byte !== carriageReturn) return false
  }
  return true
}

/** Records that are objects already; they must stay as they are until the append is done. */
export function listedRecords(records: readonly Readonly<IncomingRecord>[]): RecordSource {
  return new ListedRecords(records)
}

class ListedRecords implements RecordSource {
  readonly count: number
  bytes = 0
  largestBytes = 0
  hasKeyless = false
  earliestMs = -1
  latestMs = -1
  readonly #records: readonly Readonly<IncomingRecord>[]
  #at = 0

  constructor(records: readonly Readonly<IncomingRecord>[]) {
    this.#records = records
    this.count = records.length
    for (const record of records) {
      this.bytes += contentBytes(record)
      this.largestBytes = Math.max(this.largestBytes, recordBytesAlone(record))
      if (record.key === null) this.hasKeyless = true
      const { timestampMs } = record
      if (timestampMs < 0) continue
      this.earliestMs = this.earliestMs < 0 ? timestampMs : Math.min(this.earliestMs, timestampMs)
      this.latestMs = Math.max(this.latestMs, timestampMs)
    }
  }

  next(record: IncomingRecord): void {
    const { key, value, headers, timestampMs } = this.#records[this.#at++]
    record.key = key
    record.value = value
    record.headers = headers
    record.timestampMs = timestampMs
  }

  keep(): void {}
}
