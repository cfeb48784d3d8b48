/**
 * Turns records into output bytes: values byte for byte and an LF, a format of the user's, or a JSON object a line.
 * Bytes gather in one buffer that is written when full, or when no more records are there yet.
 */
import { isUtf8 } from 'node:buffer'
import type { MessageChunk } from '../client/message-stream.ts'
import { UsageError } from './failure.ts'

/** Puts one piece of a record into the output. */
type Piece = (out: RecordPrinter, record: MessageChunk) => void

const bufferBytes = 256 * 1024
const lf = 10

export class RecordPrinter {
  readonly #stream: NodeJS.WritableStream
  readonly #pieces: readonly Piece[]
  #bytes = Buffer.allocUnsafeSlow(bufferBytes)
  #length = 0

  constructor(stream: NodeJS.WritableStream, pieces: readonly Piece[]) {
    this.#stream = stream
    this.#pieces = pieces
  }

  /** True when `flush()` is due. */
  get isFull(): boolean {
    return this.#length > bufferBytes / 2
  }

  print(record: MessageChunk): void {
    for (const piece of this.#pieces) piece(this, record)
    this.#room(1)
    this.#bytes[this.#length++] = lf
  }

  /** Hands everything to the stream and waits until it was taken; the buffer is used again afterwards. */
  flush(): Promise<void> {
    if (this.#length === 0) return Promise.resolve()
    const bytes = this.#bytes.subarray(0, this.#length)
    this.#length = 0
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, error => (error ? reject(error) : resolve()))
    })
  }

  /** A part of `source`; nothing when `start` is negative, as for null. */
  slice(source: Buffer, start: number, end: number): void {
    if (start < 0) return
    this.#room(end - start)
    this.#length += source.copy(this.#bytes, this.#length, start, end)
  }

  text(text: string): void {
    this.#room(Buffer.byteLength(text))
    this.#length += this.#bytes.write(text, this.#length)
  }

  #room(moreBytes: number): void {
    const needed = this.#length + moreBytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, needed))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

const value: Piece = (out, record) => out.slice(record.bytes, record.valueStart, record.valueEnd)

/** What each letter after `%` stands for. */
const letters: ReadonlyMap<string, Piece> = new Map<string, Piece>([
  ['t', (out, record) => out.text(record.topic)],
  ['p', (out, record) => out.text(String(record.partition))],
  ['o', (out, record) => out.text(String(record.offset))],
  ['T', (out, record) => out.text(String(record.timestampMs))],
  ['k', (out, record) => out.slice(record.bytes, record.keyStart, record.keyEnd)],
  ['v', value],
  ['h', (out, record) => out.text(headerText(record))],
  ['%', out => out.text('%')],
])

/** Values as they are, a line each. */
export const valuePieces: readonly Piece[] = [value]

/** A JSON object a line. */
export const jsonPieces: readonly Piece[] = [(out, record) => out.text(recordJson(record))]

/**
 * Compiles `%t %p %o %T %k %v %h`, `%%` and the escapes `\n \t \\`.
 * @throws UsageError for a letter that means nothing
 */
export function formatPieces(format: string): Piece[] {
  const pieces: Piece[] = []
  for (const part of format.match(/%.?|\\.|[^%\\]+|\\/gsu) ?? []) {
    const piece = part.startsWith('%') ? letters.get(part.slice(1)) : undefined
    if (part.startsWith('%') && piece === undefined) {
      throw new UsageError(`--format: ${part} means nothing, use ${formatHelp}`)
    }
    pieces.push(piece ?? (out => out.text(unescaped(part))))
  }
  return pieces
}

const formatHelp =
  '%t topic, %p partition, %o offset, %T timestamp, %k key, %v value, %h headers, %% percent'

function unescaped(text: string): string {
  const escapes = new Map([
    ['\\n', '\n'],
    ['\\t', '\t'],
    ['\\\\', '\\'],
  ])
  return escapes.get(text) ?? text
}

/** Text stays text; other bytes are named as what they are: `{"base64": "..."}`. */
export function jsonBytes(bytes: Buffer | null): unknown {
  if (bytes === null) return null
  return isUtf8(bytes) ? bytes.toString() : { base64: bytes.toString('base64') }
}

function headerText(record: MessageChunk): string {
  return record
    .headers()
    .map(([name, bytes]) => `${name}=${bytes ?? ''}`)
    .join(',')
}

function recordJson(record: MessageChunk): string {
  return JSON.stringify({
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    timestampMs: record.timestampMs,
    key: jsonBytes(record.key()),
    value: jsonBytes(record.value()),
    headers: record.headers().map(([name, bytes]) => [name, jsonBytes(bytes)]),
  })
}
