/**
 * What the members of a group note of their work, one file for each member process, a line for each event. Written
 * synchronously, so that a member that is killed leaves all it had noted: what it processed is noted before it commits.
 * Times are milliseconds of the machine's monotonic clock, which all processes share.
 */
import { openSync, readSync, writeSync } from 'node:fs'

export type Note =
  /** Has its part of a generation. */
  | {
      readonly kind: 'part'
      readonly startMs: number
      readonly endMs: number
      readonly generation: number
      readonly memberId: string
      readonly groupInstanceId: string | null
      readonly partitions: readonly number[]
    }
  /** Asked for a committed offset; -1: none. */
  | {
      readonly kind: 'found'
      readonly startMs: number
      readonly endMs: number
      readonly partition: number
      readonly offset: number
    }
  /** Has processed [from, to). */
  | {
      readonly kind: 'processed'
      readonly partition: number
      readonly from: number
      readonly to: number
    }
  /** Is about to send a commit. */
  | {
      readonly kind: 'sent'
      readonly startMs: number
      readonly generation: number
      readonly partition: number
      readonly offset: number
    }
  /** The commit sent last was acknowledged. */
  | { readonly kind: 'acked'; readonly endMs: number }
  /** Was refused. */
  | { readonly kind: 'error'; readonly name: string }

export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

export class NoteWriter {
  readonly #file: number

  constructor(path: string) {
    this.#file = openSync(path, 'a')
  }

  add(note: Note): void {
    writeSync(this.#file, `${JSON.stringify(note)}\n`)
  }
}

export class NoteReader {
  readonly #file: number
  #position = 0

  /** The file is made when there is none. */
  constructor(path: string) {
    this.#file = openSync(path, 'a+')
  }

  /** What was noted since the last call. */
  next(): Note[] {
    const chunks: Buffer[] = []
    for (;;) {
      const chunk = Buffer.allocUnsafe(256 * 1024)
      const count = readSync(this.#file, chunk, 0, chunk.length, this.#position)
      if (count === 0) break
      this.#position += count
      chunks.push(chunk.subarray(0, count))
    }
    const text = Buffer.concat(chunks).toString()
    // The member may be in the middle of a line.
    const end = text.lastIndexOf('\n') + 1
    this.#position -= Buffer.byteLength(text.slice(end))
    return text
      .slice(0, end)
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as Note)
  }
}
