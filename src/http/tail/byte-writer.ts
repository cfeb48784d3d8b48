/** Text as bytes, in memory that is used again and again. Dispatcher thread, never across an await. */

const firstBytes = 64 * 1024
/** Grown beyond it by a large record, the memory is given back. */
const keptBytesMax = 1024 * 1024

/** Of longer text the bytes are counted instead of guessed. */
const longText = 256 * 1024

export class ByteWriter {
  #bytes = Buffer.allocUnsafeSlow(firstBytes)
  /** Bytes written since `take`. */
  pos = 0

  text(text: string): void {
    const room = this.#room(text.length < longText ? text.length * 3 : Buffer.byteLength(text))
    this.pos += room.write(text, this.pos, 'utf8')
  }

  byte(value: number): void {
    this.#room(1)[this.pos++] = value
  }

  uint16(value: number): void {
    this.pos = this.#room(2).writeUInt16BE(value, this.pos)
  }

  uint64(value: number): void {
    this.pos = this.#room(8).writeBigUInt64BE(BigInt(value), this.pos)
  }

  /** @returns a copy of what was written, and begins anew. */
  take(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(this.pos)
    this.#bytes.copy(bytes, 0, 0, this.pos)
    this.pos = 0
    if (this.#bytes.length > keptBytesMax) this.#bytes = Buffer.allocUnsafeSlow(firstBytes)
    return bytes
  }

  #room(count: number): Buffer {
    if (this.pos + count > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(this.#bytes.length * 2, this.pos + count))
      this.#bytes.copy(grown, 0, 0, this.pos)
      this.#bytes = grown
    }
    return this.#bytes
  }
}
