/** One of the two files of an owner's journal while it is written: rounds, one behind another. Owner thread only. */
import { type Disk, type DiskFile, gatherMax } from '../../src/contracts/disk.ts'
import { writeFully, writeGatheredFully } from '../log/files.ts'
import { encodeHead, headBytes, type JournalRecord } from './format.ts'

/** A log that records of the file are of: it is needed until the log's segments prove `endOffset`. */
export interface Need<Log> {
  readonly log: Log
  endOffset: number
}

export class JournalFile<Log> {
  readonly #file: DiskFile
  readonly #sizeBytes: number
  readonly #epoch: number
  #generation = 0
  #round = 0
  #position = 0
  /** Written since the last sync of it started. */
  isDirty = false
  /** By slot. While there is one, the file may not be begun anew. */
  readonly needs = new Map<number, Need<Log>>()

  constructor(disk: Disk, path: string, epoch: number) {
    this.#file = disk.open(path, 'r+')
    this.#sizeBytes = this.#file.sizeBytes()
    this.#epoch = epoch
  }

  /** Whether there is room for a round behind what is written, or, from position 0 on, ever. */
  fits(recordCount: number, batchBytes: number, position = this.#position): boolean {
    return position + headBytes(recordCount) + batchBytes <= this.#sizeBytes
  }

  /** From the start of the file again: what it holds is not replayed any more. */
  begin(generation: number): void {
    this.#generation = generation
    this.#round = 0
    this.#position = 0
  }

  /** Returns the bytes written. Throws as the disk does; the file is not to be used any more then. */
  append(
    head: Buffer,
    records: readonly JournalRecord[],
    batches: readonly Uint8Array[],
    batchBytes: number,
  ): number {
    const bytes = headBytes(records.length) + batchBytes
    const header = { epoch: this.#epoch, generation: this.#generation, round: this.#round, bytes }
    const end = encodeHead(head, header, records, batches)
    this.isDirty = true
    writeRound(this.#file, this.#position, head.subarray(0, end), batches)
    this.#round++
    this.#position += bytes
    return bytes
  }

  startSync(done: (error: Error | null) => void): void {
    this.isDirty = false
    this.#file.startSync(done)
  }

  close(): void {
    this.#file.close()
  }
}

function writeRound(
  file: DiskFile,
  position: number,
  head: Buffer,
  batches: readonly Uint8Array[],
): void {
  const first = batches.slice(0, gatherMax - 1)
  let at = position + writeGatheredFully(file, [head, ...first], position)
  for (let from = first.length; from < batches.length; from += gatherMax) {
    const run = batches.slice(from, from + gatherMax)
    if (run.length === 1) writeFully(file, run[0], at)
    at += run.length === 1 ? run[0].length : writeGatheredFully(file, run, at)
  }
}
