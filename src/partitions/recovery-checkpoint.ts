/**
 * What is written down of all partitions every few seconds, in the data directory. Dispatcher thread; the offsets come
 * from the offset table.
 *
 *   flushed-ends                  everything below is proven on disk (src/contracts/flushed-ends.ts): a start after a
 *                                 crash takes bad bytes below for rot, and the log never ends before it
 *   log-start-offset-checkpoint   Apache Kafka's, for its tools: first offset a client may read, where that is not 0.
 *                                 odradek itself believes `log-marks` in the log's directory
 *
 *   0                       version
 *   1                       entries
 *   clicks 1 1473           topic, partition, offset
 *
 * Each is written to a new file, synced, renamed, and the directory synced: the old one is there or the new one.
 * Kafka's `recovery-point-offset-checkpoint` is not written, and one that is there goes: of what a journal proves, the
 * segments need not be on disk yet, and Kafka would take them for that.
 */
import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  decodeFlushedEnds,
  encodeFlushedEnds,
  FLUSHED_ENDS_FILE,
  type FlushedEnd,
  type FlushedEnds,
} from '../contracts/flushed-ends.ts'
import { syncDirectory } from '../topics/sync-directory.ts'

const KAFKAS_FILE = 'recovery-point-offset-checkpoint'

export interface PartitionMarks extends FlushedEnd {
  readonly topic: string
}

/** Lost or damaged, it says nothing: then only the logs' own checkpoints count. */
export async function loadFlushedEnds(dataDirectory: string): Promise<FlushedEnds> {
  const text = await readFile(join(dataDirectory, FLUSHED_ENDS_FILE), 'latin1').catch(() => '')
  return decodeFlushedEnds(text)
}

export class RecoveryCheckpoint {
  readonly #directory: string
  readonly #flushedEnds: ReplacedFile
  readonly #logStarts: ReplacedFile
  #isKafkasThere = true

  constructor(directory: string) {
    this.#directory = directory
    this.#flushedEnds = new ReplacedFile(directory, FLUSHED_ENDS_FILE)
    this.#logStarts = new ReplacedFile(directory, 'log-start-offset-checkpoint')
  }

  load(): Promise<FlushedEnds> {
    return loadFlushedEnds(this.#directory)
  }

  /** Writes what changed. Logs of which nothing is known are left out. */
  async save(marks: readonly PartitionMarks[]): Promise<void> {
    const known = marks.filter(({ flushedEnd, logStart }) => flushedEnd > 0 || logStart > 0)
    await this.#flushedEnds.save(encodeFlushedEnds(known))
    await this.#logStarts.save(encodeLogStarts(marks))
    if (this.#isKafkasThere) await rm(join(this.#directory, KAFKAS_FILE), { force: true })
    this.#isKafkasThere = false
  }
}

function encodeLogStarts(marks: readonly PartitionMarks[]): string {
  const lines = marks
    .filter(({ logStart }) => logStart > 0)
    .map(({ topic, partition, logStart }) => `${topic} ${partition} ${logStart}\n`)
  return `0\n${lines.length}\n${lines.join('')}`
}

/** A small file that is replaced as a whole. */
export class ReplacedFile {
  readonly #path: string
  readonly #directory: string
  #written = ''
  #writing: Promise<void> = Promise.resolve()

  constructor(directory: string, name: string) {
    this.#directory = directory
    this.#path = join(directory, name)
  }

  /** Writes when something changed. Calls that overlap are written one after another. */
  save(text: string): Promise<void> {
    if (text === this.#written) return this.#writing
    this.#written = text
    const write = async (): Promise<void> => {
      try {
        await this.#write(text)
      } catch (error) {
        // The same text is worth another try.
        if (this.#written === text) this.#written = ''
        throw error
      }
    }
    this.#writing = this.#writing.catch(() => {}).then(write)
    return this.#writing
  }

  async #write(text: string): Promise<void> {
    const path = this.#path
    const file = await open(`${path}.tmp`, 'w', 0o640)
    try {
      await file.writeFile(text, 'latin1')
      await file.datasync()
    } finally {
      await file.close()
    }
    await rename(`${path}.tmp`, path)
    await syncDirectory(this.#directory)
  }
}
