/**
 * Records as REST Proxy v2 gives them, gathered into one JSON array. Dispatcher thread.
 *
 *   {"topic":"t","key":…,"value":…,"partition":0,"offset":12}
 *
 * binary: base64 texts. json: the bytes of a value as they stand, for they are JSON; a key that is no JSON but text is
 * given as a text, because keys often are names. Null stays null.
 */
import { isUtf8 } from 'node:buffer'
import type { RecordCursor } from '../../client/record-cursor.ts'
import { isJson } from './json-scan.ts'

export type EmbeddedFormat = 'binary' | 'json'

export interface TextLimits {
  /** Bytes of keys and values; the first record is given whatever its size. */
  readonly bytesMax: number
  /** Characters of the answer. */
  readonly charsMax: number
}

export class RecordText {
  readonly #format: EmbeddedFormat
  readonly #limits: TextLimits
  #parts: string[] = []
  #chars = 0
  #isClosed = false
  /** Of keys and values. */
  bytes = 0

  constructor(format: EmbeddedFormat, limits: TextLimits) {
    this.#format = format
    this.#limits = limits
  }

  get count(): number {
    return this.#parts.length
  }

  get isFull(): boolean {
    return (
      this.#isClosed || this.bytes >= this.#limits.bytesMax || this.#chars >= this.#limits.charsMax
    )
  }

  /** Bytes of keys and values that may still come. */
  get room(): number {
    return this.#limits.bytesMax - this.bytes
  }

  clear(): void {
    this.#parts = []
    this.#chars = 0
    this.bytes = 0
    this.#isClosed = false
  }

  /**
   * Takes the record that the cursor stands at.
   * @param topicText the topic as JSON
   * @returns 'taken', 'full' when it does not fit beside the others, or which part of it is no JSON
   */
  add(
    cursor: RecordCursor,
    topicText: string,
    partition: number,
  ): 'taken' | 'full' | 'key' | 'value' {
    const { keyStart, keyEnd, valueStart, valueEnd } = cursor
    const bytes = keyEnd - keyStart + valueEnd - valueStart
    if (this.count > 0 && (this.isFull || bytes > this.room)) {
      this.#isClosed = true
      return 'full'
    }
    const key = this.#text(cursor.key())
    if (key === null && !isText(cursor.key())) return 'key'
    const value = this.#text(cursor.value())
    if (value === null) return 'value'
    const keyText = key ?? JSON.stringify(cursor.key()?.toString() ?? null)
    const text = `{"topic":${topicText},"key":${keyText},"value":${value},"partition":${partition},"offset":${cursor.offset}}`
    this.#parts.push(text)
    this.#chars += text.length
    this.bytes += bytes
    return 'taken'
  }

  toString(): string {
    return `[${this.#parts.join(',')}]`
  }

  /** Null when it is no JSON. */
  #text(bytes: Buffer | null): string | null {
    if (bytes === null) return 'null'
    if (this.#format === 'binary') return `"${bytes.toString('base64')}"`
    return isJson(bytes) ? bytes.toString() : null
  }
}

const isText = (bytes: Buffer | null): boolean => bytes !== null && isUtf8(bytes)
