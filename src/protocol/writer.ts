/**
 * Writes frames one behind another into slabs of 64 KiB; nothing is copied afterwards. Any thread; one per connection
 * or one per thread.
 *
 *   slab   |size|frame 1|size|frame 2 .....|records ->      |size|frame 3 ...          |
 *                                          ^ a view of >= 1 KiB is referenced, the frame goes on behind it
 *
 * A frame that outgrows its slab moves to a new one (only the unfinished piece is copied); finished pieces never move
 * and are never written again, so a socket may hold them as long as it likes.
 */
import assert from 'node:assert/strict'

const slabBytes = 64 * 1024
/** Below this a copy costs less than another entry in the socket's scatter list. */
const referenceBytesMin = 1024
const stringBytesMax = 0x7fff
/** 3 bytes of UTF-8 per UTF-16 unit at most: up to here a compact length fits one byte whatever the text. */
const shortTextMax = 42

/** Public, but not in node's types. */
interface RawBuffer extends Buffer {
  base64urlWrite(text: string, offset: number, length: number): number
}

export class Writer {
  private slab: Buffer
  private view: DataView
  private pos = 0
  private pieceStart = 0
  private pieces: Uint8Array[] = []
  private pieceBytes = 0

  frameSlab: ArrayBufferLike
  frameStart = 0
  frameEnd = 0

  /** `initialBytes`: size of the first slab; later ones are 64 KiB. */
  constructor(initialBytes: number = slabBytes) {
    this.slab = Buffer.allocUnsafeSlow(initialBytes)
    this.frameSlab = this.slab.buffer
    this.view = new DataView(this.slab.buffer, this.slab.byteOffset, this.slab.length)
  }

  /** Starts a frame: its size is filled in by `end`. A frame begun and never ended is forgotten. */
  begin(): void {
    if (this.pieces.length > 0) this.pieces = []
    this.pieceBytes = 0
    this.pieceStart = this.pos
    this.need(4)
    this.pos += 4
  }

  /** The frame's pieces in order, size first. They stay valid and unchanged for ever. */
  end(): Uint8Array[] {
    const lastBytes = this.pos - this.pieceStart
    const sizeBytes = this.pieceBytes + lastBytes - 4
    assert(sizeBytes >= 0 && sizeBytes <= 0x7fff_ffff)
    const pieces = this.pieces
    if (pieces.length === 0) this.view.setInt32(this.pieceStart, sizeBytes)
    else (pieces[0] as Buffer).writeInt32BE(sizeBytes, 0)
    if (lastBytes > 0) pieces.push(this.slab.subarray(this.pieceStart, this.pos))
    this.pieces = []
    this.pieceBytes = 0
    this.pieceStart = this.pos
    return pieces
  }

  /**
   * As `end`, for frames without references: true with [frameStart, frameEnd) of `frameSlab` set and no object made;
   * false when the frame has several pieces, and `end` is to be called.
   */
  endInPlace(): boolean {
    if (this.pieces.length > 0) return false
    this.view.setInt32(this.pieceStart, this.pos - this.pieceStart - 4)
    this.frameSlab = this.slab.buffer
    this.frameStart = this.pieceStart
    this.frameEnd = this.pos
    this.pieceStart = this.pos
    return true
  }

  private need(bytes: number): void {
    if (this.pos + bytes > this.slab.length) this.grow(bytes)
  }

  private grow(bytes: number): void {
    const used = this.pos - this.pieceStart
    const slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, used * 2 + bytes))
    this.slab.copy(slab, 0, this.pieceStart, this.pos)
    this.slab = slab
    this.view = new DataView(slab.buffer, slab.byteOffset, slab.length)
    this.pieceStart = 0
    this.pos = used
  }

  int8(value: number): void {
    this.need(1)
    this.view.setInt8(this.pos, value)
    this.pos += 1
  }

  bool(value: boolean): void {
    this.int8(value ? 1 : 0)
  }

  int16(value: number): void {
    this.need(2)
    this.view.setInt16(this.pos, value)
    this.pos += 2
  }

  int32(value: number): void {
    this.need(4)
    this.view.setInt32(this.pos, value)
    this.pos += 4
  }

  /** A whole number within ±2^53. */
  int64(value: number): void {
    if (!Number.isSafeInteger(value)) assert.fail(`${value} is not a whole number within 2^53`)
    this.need(8)
    const high = Math.floor(value / 0x1_0000_0000)
    this.view.setInt32(this.pos, high)
    this.view.setUint32(this.pos + 4, value - high * 0x1_0000_0000)
    this.pos += 8
  }

  uuid(value: string): void {
    this.need(16)
    const written = (this.slab as RawBuffer).base64urlWrite(value, this.pos, 16)
    assert(written === 16 && value.length === 22, 'a uuid is 22 characters of base64url')
    this.pos += 16
  }

  uvarint(value: number): void {
    this.need(5)
    let rest = value
    while (rest > 0x7f) {
      this.slab[this.pos++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.slab[this.pos++] = rest
  }

  /** Writes UTF-8 at `at` (room for 3 bytes per unit is there) and returns the bytes taken. */
  private text(value: string, at: number): number {
    const length = value.length
    if (length > shortTextMax) return this.slab.write(value, at)
    const slab = this.slab
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i)
      if (code >= 0x80) return slab.write(value, at)
      slab[at + i] = code
    }
    return length
  }

  string(value: string): void {
    this.need(2 + value.length * 3)
    const size = this.text(value, this.pos + 2)
    assert(size <= stringBytesMax, 'a string takes at most 32767 bytes')
    this.view.setInt16(this.pos, size)
    this.pos += 2 + size
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1)
    else this.string(value)
  }

  compactString(value: string): void {
    this.need(3 + value.length * 3)
    if (value.length <= shortTextMax) {
      const size = this.text(value, this.pos + 1)
      this.slab[this.pos] = size + 1
      this.pos += 1 + size
      return
    }
    const size = Buffer.byteLength(value)
    assert(size <= stringBytesMax, 'a string takes at most 32767 bytes')
    this.uvarint(size + 1)
    this.need(size)
    this.pos += this.slab.write(value, this.pos)
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0)
    else this.compactString(value)
  }

  private copy(value: Uint8Array): void {
    this.need(value.length)
    this.slab.set(value, this.pos)
    this.pos += value.length
  }

  bytesField(value: Uint8Array): void {
    this.int32(value.length)
    this.copy(value)
  }

  nullableBytes(value: Uint8Array | null): void {
    if (value === null) this.int32(-1)
    else this.bytesField(value)
  }

  compactBytes(value: Uint8Array): void {
    this.uvarint(value.length + 1)
    this.copy(value)
  }

  compactNullableBytes(value: Uint8Array | null): void {
    if (value === null) this.uvarint(0)
    else this.compactBytes(value)
  }

  /** Large views become pieces of their own: the caller must not change them until the frame is sent. */
  private reference(value: Uint8Array): void {
    if (value.length < referenceBytesMin) {
      this.copy(value)
      return
    }
    this.pieces.push(this.slab.subarray(this.pieceStart, this.pos), value)
    this.pieceBytes += this.pos - this.pieceStart + value.length
    this.pieceStart = this.pos
  }

  records(value: Uint8Array): void {
    this.int32(value.length)
    this.reference(value)
  }

  nullableRecords(value: Uint8Array | null): void {
    if (value === null) this.int32(-1)
    else this.records(value)
  }

  compactRecords(value: Uint8Array): void {
    this.uvarint(value.length + 1)
    this.reference(value)
  }

  compactNullableRecords(value: Uint8Array | null): void {
    if (value === null) this.uvarint(0)
    else this.compactRecords(value)
  }

  /** The length of an array; -1 is null. */
  array(count: number): void {
    this.int32(count)
  }

  compactArray(count: number): void {
    this.uvarint(count + 1)
  }

  /** Starts a tagged value; give the result to `endTag`, which fills in the size. */
  beginTag(tag: number): number {
    this.uvarint(tag)
    this.need(1)
    this.pos += 1
    return this.pos - this.pieceStart
  }

  endTag(mark: number): void {
    const start = this.pieceStart + mark
    const sizeBytes = this.pos - start
    let extra = 0
    for (let rest = sizeBytes >>> 7; rest > 0; rest >>>= 7) extra++
    if (extra > 0) {
      this.need(extra)
      const from = this.pieceStart + mark
      this.slab.copyWithin(from + extra, from, this.pos)
    }
    const end = this.pos + extra
    this.pos = this.pieceStart + mark - 1
    this.uvarint(sizeBytes)
    this.pos = end
  }
}
