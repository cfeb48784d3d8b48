/**
 * Kafka's `recovery-point-offset-checkpoint`: per partition the offset below which everything is proven on disk, so
 * that a start after a crash scans only what lies above. Dispatcher thread; the flushed ends come from the offset
 * table.
 *
 *   0                       version
 *   2                       entries
 *   clicks 0 1500           topic, partition, offset
 *   clicks 1 1473
 *
 * A cache: lost or damaged, the scan starts at the beginning. Written to a new file, synced, renamed.
 */
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { syncDirectory } from '../topics/sync-directory.ts'

const fileName = 'recovery-point-offset-checkpoint'

export interface RecoveryPoint {
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

export class RecoveryCheckpoint {
  readonly #directory: string
  #written = ''
  #writing: Promise<void> = Promise.resolve()

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Offsets by directory name (`clicks-0`); empty when there is no usable checkpoint. */
  async load(): Promise<Map<string, number>> {
    const text = await readFile(join(this.#directory, fileName), 'latin1').catch(() => '')
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
  save(points: readonly RecoveryPoint[]): Promise<void> {
    const lines = points.map(({ topic, partition, offset }) => `${topic} ${partition} ${offset}`)
    const text = `0\n${lines.length}\n${lines.join('\n')}\n`
    if (text === this.#written) return this.#writing
    this.#written = text
    this.#writing = this.#writing.catch(() => {}).then(() => this.#write(text))
    return this.#writing
  }

  async #write(text: string): Promise<void> {
    const path = join(this.#directory, fileName)
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
