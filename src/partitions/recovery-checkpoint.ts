/**
 * Kafka's two files of offsets per partition in the data directory. Dispatcher thread; the offsets come from the offset
 * table.
 *
 *   recovery-point-offset-checkpoint   everything below is proven on disk: a start after a crash scans what lies above
 *   log-start-offset-checkpoint        first offset a client may read, where that is not 0
 *
 *   0                       version
 *   2                       entries
 *   clicks 0 1500           topic, partition, offset
 *   clicks 1 1473
 *
 * The first is a cache: lost or damaged, the scan starts at the beginning. The second is for Kafka and its tools:
 * odradek itself believes `log-marks` in the log's directory. Written to a new file, synced, renamed.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../topics/sync-directory.ts'

export interface PartitionOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export interface PartitionMarks {
  readonly topic: string
  readonly partition: number
  readonly recoveryPoint: number
  readonly logStart: number
}

export class RecoveryCheckpoint {
  readonly #recoveryPoints: OffsetsFile
  readonly #logStarts: OffsetsFile

  constructor(directory: string) {
    this.#recoveryPoints = new OffsetsFile(directory, 'recovery-point-offset-checkpoint')
    this.#logStarts = new OffsetsFile(directory, 'log-start-offset-checkpoint')
  }

  /** Recovery points by directory name (`clicks-0`); empty when there is no usable checkpoint. */
  load(): Promise<Map<string, number>> {
    return this.#recoveryPoints.load()
  }

  /** Writes what changed. Offsets that are 0 are left out. */
  async save(marks: readonly PartitionMarks[]): Promise<void> {
    const pick = (offsetOf: (mark: PartitionMarks) => number): PartitionOffset[] =>
      marks
        .map(mark => ({ topic: mark.topic, partition: mark.partition, offset: offsetOf(mark) }))
        .filter(({ offset }) => offset > 0)
    await this.#recoveryPoints.save(pick(({ recoveryPoint }) => recoveryPoint))
    await this.#logStarts.save(pick(({ logStart }) => logStart))
  }
}

/** One such file. */
export class OffsetsFile {
  readonly #path: string
  readonly #directory: string
  #written = ''
  #writing: Promise<void> = Promise.resolve()

  constructor(directory: string, name: string) {
    this.#directory = directory
    this.#path = join(directory, name)
  }

  /** Offsets by directory name (`clicks-0`); empty when there is no usable file. */
  async load(): Promise<Map<string, number>> {
    const text = await readFile(this.#path, 'latin1').catch(() => '')
    const points = new Map<string, number>()
    const [version, count, ...lines] = text.split('\n')
    if (version !== '0') return points
    for (const line of lines) {
      const match = /^(\S+) (\d{1,5}) (\d{1,16})$/.exec(line)
      if (match !== null) points.set(`${match[1]}-${match[2]}`, Number(match[3]))
    }
    return points.size === Number(count) ? points : new Map()
  }

  /** Writes when something changed. Calls that overlap are written one after another. */
  save(offsets: readonly PartitionOffset[]): Promise<void> {
    const lines = offsets.map(({ topic, partition, offset }) => `${topic} ${partition} ${offset}\n`)
    const text = `0\n${lines.length}\n${lines.join('')}`
    if (text === this.#written) return this.#writing
    this.#written = text
    const write = async (): Promise<void> => {
      try {
        await this.#write(text)
      } catch (error) {
        // The same offsets are worth another try.
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
