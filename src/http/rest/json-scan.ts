/**
 * Finds its way through JSON text without making values of it: where a value ends, whether it is JSON at all. What a
 * client embeds in a request is stored byte by byte as it came (a number of 20 digits keeps them all), and what lies in
 * a log is known to be JSON before it becomes a part of an answer. Pure. Any thread.
 *
 * It takes what JSON.parse takes (RFC 8259), down to a depth that the caller sets; the bytes must be UTF-8.
 */
import { isUtf8 } from 'node:buffer'

/** Deeper nesting in a request is refused. */
export const requestDepthMax = 32
/** What lies in a log is not ours to judge, but has to end. */
const storedDepthMax = 1000

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d
const comma = 0x2c
const colon = 0x3a
const minus = 0x2d
const zero = 0x30

/** Why a text is no JSON; `position` in bytes. */
export class JsonScanError extends Error {
  readonly position: number

  constructor(what: string, position: number) {
    super(`${what} at byte ${position}`)
    this.position = position
  }
}

/** Whether all of it is one JSON value, white space around it allowed. */
export function isJson(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false
  try {
    const scan = new JsonScan(bytes, storedDepthMax)
    scan.skipValue()
    scan.end()
    return true
  } catch (error) {
    if (error instanceof JsonScanError) return false
    throw error
  }
}

export class JsonScan {
  readonly #bytes: Buffer
  readonly #depthMax: number
  #pos = 0

  constructor(bytes: Buffer, depthMax: number) {
    this.#bytes = bytes
    this.#depthMax = depthMax
  }

  /** The next byte that is no white space, not taken; -1 at the end. */
  peek(): number {
    const bytes = this.#bytes
    while (this.#pos < bytes.length) {
      const byte = bytes[this.#pos]
      if (byte > 0x20) return byte
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte
      this.#pos++
    }
    return -1
  }

  /** Nothing but white space may follow. */
  end(): void {
    if (this.peek() !== -1) throw this.#error('something follows the value')
  }

  /** Walks an object: `onField` must take the value of the field it is given. */
  object(onField: (name: string) => void): void {
    this.#expect(openBrace, 'an object')
    if (this.#take(closeBrace)) return
    do {
      const name = this.text()
      this.#expect(colon, '":"')
      onField(name)
    } while (this.#take(comma))
    this.#expect(closeBrace, '"," or "}"')
  }

  /** Walks an array: `onItem` must take the value it stands at. */
  array(onItem: () => void): void {
    this.#expect(openBracket, 'an array')
    if (this.#take(closeBracket)) return
    do onItem()
    while (this.#take(comma))
    this.#expect(closeBracket, '"," or "]"')
  }

  /** A text, unescaped. */
  text(): string {
    if (this.peek() !== quote) throw this.#error('a text expected')
    const start = this.#pos
    this.#skipText()
    const raw = this.#bytes.toString('utf8', start + 1, this.#pos - 1)
    return raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw
  }

  /** The bytes of any value, a view. */
  raw(): Buffer {
    this.peek()
    const start = this.#pos
    this.skipValue()
    return this.#bytes.subarray(start, this.#pos)
  }

  /** Walks over any value. Not recursive: a stack of what is open, true for an object. */
  skipValue(): void {
    const open: boolean[] = []
    for (;;) {
      const byte = this.peek()
      if (byte === openBrace || byte === openBracket) {
        if (open.length === this.#depthMax) {
          throw this.#error(`nested deeper than ${this.#depthMax} levels`)
        }
        this.#pos++
        const isObject = byte === openBrace
        if (!this.#take(isObject ? closeBrace : closeBracket)) {
          open.push(isObject)
          if (isObject) this.#skipName()
          continue
        }
      } else this.#skipScalar(byte)
      // A value is done: what comes after it closes, or goes on with the next.
      for (;;) {
        if (open.length === 0) return
        const isObject = open[open.length - 1]
        if (this.#take(comma)) {
          if (isObject) this.#skipName()
          break
        }
        this.#expect(isObject ? closeBrace : closeBracket, isObject ? '"," or "}"' : '"," or "]"')
        open.pop()
      }
    }
  }

  #skipName(): void {
    if (this.peek() !== quote) throw this.#error('a field name expected')
    this.#skipText()
    this.#expect(colon, '":"')
  }

  #skipScalar(byte: number): void {
    if (byte === quote) this.#skipText()
    else if (byte === minus || isDigit(byte)) this.#skipNumber()
    else if (byte === 0x74) this.#word('true')
    else if (byte === 0x66) this.#word('false')
    else if (byte === 0x6e) this.#word('null')
    else throw this.#error(byte === -1 ? 'the text ends too early' : 'a value expected')
  }

  #skipText(): void {
    const bytes = this.#bytes
    let pos = this.#pos + 1
    for (;;) {
      const byte = bytes[pos]
      if (byte === quote) break
      if (byte === backslash) pos = this.#afterEscape(pos)
      else if (byte >= 0x20) pos++
      else {
        this.#pos = pos
        throw this.#error(
          pos < bytes.length ? 'a control character in a text' : 'a text has no end',
        )
      }
      if (pos >= bytes.length) {
        this.#pos = bytes.length
        throw this.#error('a text has no end')
      }
    }
    this.#pos = pos + 1
  }

  #afterEscape(pos: number): number {
    const byte = this.#bytes[pos + 1]
    if (byte === 0x75) {
      for (let i = 2; i < 6; i++) {
        if (!isHex(this.#bytes[pos + i])) return this.#badEscape(pos)
      }
      return pos + 6
    }
    return '"\\/bfnrt'.includes(String.fromCharCode(byte ?? 0)) ? pos + 2 : this.#badEscape(pos)
  }

  #badEscape(pos: number): never {
    this.#pos = pos
    throw this.#error('not an escape')
  }

  #skipNumber(): void {
    const bytes = this.#bytes
    if (bytes[this.#pos] === minus) this.#pos++
    if (bytes[this.#pos] === zero) this.#pos++
    else this.#digits()
    if (bytes[this.#pos] === 0x2e) {
      this.#pos++
      this.#digits()
    }
    if (bytes[this.#pos] === 0x65 || bytes[this.#pos] === 0x45) {
      this.#pos++
      const sign = bytes[this.#pos]
      if (sign === minus || sign === 0x2b) this.#pos++
      this.#digits()
    }
  }

  #digits(): void {
    const start = this.#pos
    while (isDigit(this.#bytes[this.#pos])) this.#pos++
    if (this.#pos === start) throw this.#error('a digit expected')
  }

  #word(word: string): void {
    if (this.#bytes.toString('latin1', this.#pos, this.#pos + word.length) !== word) {
      throw this.#error('a value expected')
    }
    this.#pos += word.length
  }

  #take(byte: number): boolean {
    if (this.peek() !== byte) return false
    this.#pos++
    return true
  }

  #expect(byte: number, what: string): void {
    if (!this.#take(byte)) throw this.#error(`${what} expected`)
  }

  #error(what: string): JsonScanError {
    return new JsonScanError(what, this.#pos)
  }
}

const isDigit = (byte: number): boolean => byte >= zero && byte <= 0x39
const isHex = (byte: number): boolean =>
  isDigit(byte) || (byte >= 0x61 && byte <= 0x66) || (byte >= 0x41 && byte <= 0x46)
