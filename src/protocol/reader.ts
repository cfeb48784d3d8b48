/**
 * Reads Kafka's primitive types from one frame. Any thread; synchronous; the bytes may lie in a SharedArrayBuffer.
 *
 *   bytes   |..... earlier frames .....| one frame |..... later frames .....|
 *                                      ^pos        ^end      pos <= end <= bytes.length, nothing outside is ever read
 *
 * Every length is checked against `end` before it is used: a lie throws ProtocolError, and the caller closes the
 * connection. Limits: RELIABILITY.md section 4 (arrays, tags, varints, decoded objects).
 */
import assert from 'node:assert/strict'

/** A frame that no honest client sends. Whoever reads a frame catches it once and closes the connection. */
export class ProtocolError extends RangeError {
  override name = 'ProtocolError'
}

/** Kafka's "no uuid", in the base64url form in which every uuid is kept. */
export const zeroUuid = 'AAAAAAAAAAAAAAAAAAAAAA'

const stringBytesMax = 0x7fff

/** What one message may make its reader hold; the settings of the broker (src/config/limit-settings.ts). */
export interface ReaderLimits {
  /** Of a request: elements of its outermost array, of all second-level arrays together, of all arrays. */
  readonly topicsMax: number
  readonly partitionsMax: number
  readonly elementsMax: number
  /** Of one struct. */
  readonly tagsMax: number
  readonly tagBytesMax: number
  /** Of a request's header. */
  readonly clientIdBytesMax: number
}

export const defaultReaderLimits: ReaderLimits = {
  topicsMax: 10_000,
  partitionsMax: 100_000,
  elementsMax: 250_000,
  tagsMax: 16,
  tagBytesMax: 4096,
  clientIdBytesMax: 255,
}

/** The fast conversions node:buffer uses itself; public, but not in its types. */
interface RawBuffer extends Buffer {
  utf8Slice(start: number, end: number): string
  latin1Slice(start: number, end: number): string
  base64urlSlice(start: number, end: number): string
}

/**
 * Short ASCII strings come back again and again (topic names, client ids): the last ones seen are kept in a small
 * direct-mapped table, so that reading one costs a hash and a comparison, and yields the same string object each time.
 */
const cachedTextBytesMax = 48
const cachedTexts: string[] = Array.from({ length: 512 }, () => '')

const empty = Buffer.alloc(0)

export class Reader {
  /** The whole source; `pos` and `end` index it. */
  bytes: Buffer = empty
  pos = 0
  end = 0
  private source: Uint8Array = empty
  private view: DataView = new DataView(empty.buffer, 0, 0)
  private elementsLeft = 0
  private partitionsLeft = 0
  readonly limits: ReaderLimits

  constructor(bytes: Uint8Array = empty, limits: ReaderLimits = defaultReaderLimits) {
    this.limits = limits
    this.reset(bytes)
  }

  /** Starts over on `bytes[start, end)`. Cheap when `bytes` is the same object as before (an arena). */
  reset(bytes: Uint8Array, start = 0, end: number = bytes.length): this {
    assert(start >= 0 && start <= end && end <= bytes.length)
    if (bytes !== this.source) {
      this.source = bytes
      this.bytes = Buffer.isBuffer(bytes)
        ? bytes
        : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    this.pos = start
    this.end = end
    this.elementsLeft = this.limits.elementsMax
    this.partitionsLeft = this.limits.partitionsMax
    return this
  }

  get remaining(): number {
    return this.end - this.pos
  }

  /** Moves on by `size` bytes and returns where they begin. */
  private span(size: number): number {
    const start = this.pos
    if (size < 0) return fail('negative length')
    if (size > this.end - start) return fail('truncated')
    this.pos = start + size
    return start
  }

  int8(): number {
    return this.view.getInt8(this.span(1))
  }

  /** Any byte but 0 is true (PROTOCOL.md 3.1.10). */
  bool(): boolean {
    return this.view.getInt8(this.span(1)) !== 0
  }

  int16(): number {
    return this.view.getInt16(this.span(2))
  }

  int32(): number {
    return this.view.getInt32(this.span(4))
  }

  /** A number: exact up to 2^53, beyond that refused. */
  int64(): number {
    const at = this.span(8)
    const high = this.view.getInt32(at)
    if (high > 0x1f_ffff || high < -0x20_0000) return fail('int64 beyond 2^53')
    return high * 0x1_0000_0000 + this.view.getUint32(at + 4)
  }

  /** 22 characters of base64url, as Kafka prints it. */
  uuid(): string {
    const at = this.span(16)
    return (this.bytes as RawBuffer).base64urlSlice(at, at + 16)
  }

  /** Unsigned, at most 5 bytes. */
  uvarint(): number {
    const at = this.pos
    if (at < this.end) {
      const byte = this.bytes[at]
      if (byte < 0x80) {
        this.pos = at + 1
        return byte
      }
    }
    return this.longUvarint()
  }

  private longUvarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.bytes[this.span(1)]
      if (shift === 28 && byte > 0x0f) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
    return fail('varint too long')
  }

  /** Zigzag, 32 bits. */
  varint(): number {
    const value = this.uvarint()
    return (value >>> 1) ^ -(value & 1)
  }

  /** Zigzag, at most 10 bytes; values beyond 2^53 are refused. */
  varlong(): number {
    let low = 0
    let high = 0
    for (let count = 0; count < 10; count++) {
      const byte = this.bytes[this.span(1)]
      if (count === 9 && byte > 1) break
      const bits = byte & 0x7f
      if (count < 4) low |= bits << (7 * count)
      else if (count === 4) {
        low |= bits << 28
        high = bits >>> 4
      } else high |= bits << (7 * count - 32)
      if (byte < 0x80) return unzigzag(low, high)
    }
    return fail('varlong too long')
  }

  private text(size: number): string {
    const start = this.span(size)
    const bytes = this.bytes as RawBuffer
    if (size > cachedTextBytesMax) {
      if (size > stringBytesMax) return fail('string too long')
      const long = bytes.utf8Slice(start, this.pos)
      // Bytes that are no UTF-8 become U+FFFD, three bytes each: no answer could carry such a name back.
      const mayGrow = size * 3 > stringBytesMax
      if (mayGrow && Buffer.byteLength(long) > stringBytesMax) return fail('string too long')
      return long
    }
    let hash = size
    let all = 0
    for (let i = start; i < start + size; i++) {
      const byte = bytes[i]
      all |= byte
      hash = (Math.imul(hash, 31) + byte) | 0
    }
    if (all >= 0x80) return bytes.utf8Slice(start, this.pos)
    const slot = (hash ^ (hash >>> 9) ^ (hash >>> 18)) & 511
    const cached = cachedTexts[slot]
    if (cached.length === size && sameText(cached, bytes, start)) return cached
    const text = bytes.latin1Slice(start, this.pos)
    cachedTexts[slot] = text
    return text
  }

  string(): string {
    return this.text(this.int16())
  }

  nullableString(): string | null {
    const size = this.int16()
    return size === -1 ? null : this.text(size)
  }

  compactString(): string {
    return this.text(this.uvarint() - 1)
  }

  compactNullableString(): string | null {
    const size = this.uvarint()
    return size === 0 ? null : this.text(size - 1)
  }

  /** A view, no copy: valid as long as the frame is. Its place is `byteOffset`. */
  private slice(size: number): Buffer {
    const start = this.span(size)
    return this.bytes.subarray(start, this.pos)
  }

  bytesField(): Buffer {
    return this.slice(this.int32())
  }

  nullableBytes(): Buffer | null {
    const size = this.int32()
    return size === -1 ? null : this.slice(size)
  }

  compactBytes(): Buffer {
    return this.slice(this.uvarint() - 1)
  }

  compactNullableBytes(): Buffer | null {
    const size = this.uvarint()
    return size === 0 ? null : this.slice(size - 1)
  }

  /** Record batches, as a view; record-batch.ts reads it by position. */
  records(): Buffer {
    return this.slice(this.int32())
  }

  nullableRecords(): Buffer | null {
    return this.nullableBytes()
  }

  compactRecords(): Buffer {
    return this.slice(this.uvarint() - 1)
  }

  compactNullableRecords(): Buffer | null {
    return this.compactNullableBytes()
  }

  /** The length of an array whose elements take at least `elementBytesMin` bytes each. */
  array(elementBytesMin: number): number {
    return this.count(this.int32(), elementBytesMin)
  }

  /** As `array`; -1 is null. */
  nullableArray(elementBytesMin: number): number {
    const count = this.int32()
    return count === -1 ? -1 : this.count(count, elementBytesMin)
  }

  compactArray(elementBytesMin: number): number {
    return this.count(this.uvarint() - 1, elementBytesMin)
  }

  compactNullableArray(elementBytesMin: number): number {
    const count = this.uvarint()
    return count === 0 ? -1 : this.count(count - 1, elementBytesMin)
  }

  private count(count: number, elementBytesMin: number): number {
    if (count < 0) return fail('null or negative array')
    if (count * elementBytesMin > this.end - this.pos) return fail('array longer than its frame')
    return count
  }

  /** Charges `count` elements of a request's array at nesting `level` (0 = topics) and returns it. */
  take(count: number, level: number): number {
    const { limits } = this
    if (level === 0) {
      if (count > limits.topicsMax) return tooMany('topics', limits.topicsMax)
    } else if (level === 1) {
      this.partitionsLeft -= count
      if (this.partitionsLeft < 0) return tooMany('partitions', limits.partitionsMax)
    }
    this.elementsLeft -= count
    if (this.elementsLeft < 0) return tooMany('elements', limits.elementsMax)
    return count
  }

  /** Skips a tag section of which nothing is known. */
  skipTags(): void {
    if (this.pos < this.end && this.bytes[this.pos] === 0) this.pos++
    else this.skipManyTags()
  }

  private skipManyTags(): void {
    const start = this.pos
    let last = -1
    for (let left = this.tagCount(); left > 0; left--) {
      last = this.tag(last)
      this.pos = this.tagEnd(start)
    }
  }

  tagCount(): number {
    const count = this.uvarint()
    const { tagsMax } = this.limits
    return count > tagsMax ? tooMany('tags', tagsMax) : count
  }

  /** The next tag: tags ascend, none comes twice. */
  tag(last: number): number {
    const tag = this.uvarint()
    return tag <= last ? fail('tags out of order') : tag
  }

  /** Reads the size of a tag's value and returns where it ends; `start` is where the tag section began. */
  tagEnd(start: number): number {
    const size = this.uvarint()
    const end = this.pos + size
    if (end > this.end) return fail('truncated tag')
    const { tagBytesMax } = this.limits
    if (end - start > tagBytesMax) fail(`tags too large (request.tag.bytes.max=${tagBytesMax})`)
    return end
  }

  /** After the value of a known tag: it must fill the size it declared. */
  endTag(end: number): void {
    if (this.pos !== end) fail('tag size does not match its value')
  }
}

function fail(why: string): never {
  throw new ProtocolError(why)
}

/** Settings are named for what they bound. */
function tooMany(what: string, most: number): never {
  return fail(`too many ${what} (request.${what}.max=${most})`)
}

function sameText(text: string, bytes: Uint8Array, start: number): boolean {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) !== bytes[start + i]) return false
  }
  return true
}

/** Zigzag over two 32-bit words: bit 0 is the sign. */
function unzigzag(low: number, high: number): number {
  const negative = low & 1
  const magnitudeHigh = high >>> 1
  const magnitudeLow = ((low >>> 1) | (high << 31)) >>> 0
  if (magnitudeHigh > 0x1f_ffff) return fail('varlong beyond 2^53')
  const magnitude = magnitudeHigh * 0x1_0000_0000 + magnitudeLow
  return negative ? -magnitude - 1 : magnitude
}
