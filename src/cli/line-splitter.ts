/**
 * Cuts input into lines at LF and nothing else: a CR stays in the line, the last line needs no LF. Lines are handed out
 * as places in a buffer, not as slices: `odradek produce` copies them straight into a record batch.
 */
export type OnLine = (source: Buffer, start: number, end: number) => void

const lf = 10

export class LineSplitter {
  readonly #lineBytesMax: number
  readonly #onLine: OnLine
  /** Pieces of a line whose LF has not come yet. */
  #pieces: Buffer[] = []
  #pieceBytes = 0

  constructor(onLine: OnLine, lineBytesMax: number) {
    this.#onLine = onLine
    this.#lineBytesMax = lineBytesMax
  }

  /** @throws RangeError when a line is longer than allowed */
  push(chunk: Buffer): void {
    let start = 0
    let end = chunk.indexOf(lf)
    if (end >= 0 && this.#pieceBytes > 0) {
      this.#keep(chunk.subarray(0, end))
      this.#giveKept()
      start = end + 1
      end = chunk.indexOf(lf, start)
    }
    while (end >= 0) {
      this.#onLine(chunk, start, end)
      start = end + 1
      end = chunk.indexOf(lf, start)
    }
    if (start < chunk.length) this.#keep(chunk.subarray(start))
  }

  /** The input is over: what stands after the last LF is a line, too. */
  end(): void {
    if (this.#pieceBytes > 0) this.#giveKept()
  }

  #keep(piece: Buffer): void {
    this.#pieces.push(piece)
    this.#pieceBytes += piece.length
    if (this.#pieceBytes > this.#lineBytesMax) {
      throw new RangeError(`a line is longer than ${this.#lineBytesMax} bytes`)
    }
  }

  #giveKept(): void {
    const line = this.#pieces.length === 1 ? this.#pieces[0] : Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#pieceBytes = 0
    this.#onLine(line, 0, line.length)
  }
}
