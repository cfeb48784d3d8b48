/**
 * Looks behind the log, at the platter: everything below the flushed end must lie there under a durable name, byte for
 * byte as programs see it (RELIABILITY section 2: what F means). Walks on from where it stood, so a step costs little.
 */
import type { PartitionLog } from '../../../workers/log/log.ts'
import type { FileNode, Node } from '../../support/fault-disk-nodes.ts'
import type { SimDisk } from '../world/disk.ts'
import { demand } from './anomaly.ts'
import type { StoredBatch } from './batch-list.ts'
import type { PartitionModel } from './model.ts'
import type { RottenBatches } from './rotten.ts'

export class DurableEnd {
  readonly #disk: SimDisk
  readonly #directory: string
  #offset = 0
  #position = 0
  #segment = -1
  /** Compaction puts another file under the same name. */
  #node: FileNode | null = null

  readonly #model: PartitionModel

  constructor(disk: SimDisk, directory: string, model: PartitionModel) {
    this.#disk = disk
    this.#directory = directory
    this.#model = model
  }

  /** Segments were opened anew or replaced: look at everything again. */
  reset(): void {
    this.#offset = 0
    this.#position = 0
    this.#segment = -1
  }

  check(log: PartitionLog): void {
    const { recoveryPoint, logStart } = log.offsets
    if (recoveryPoint <= this.#offset) return
    if (this.#offset < logStart) this.#offset = logStart
    while (this.#offset < recoveryPoint) {
      const base = segmentOf(log, this.#offset)
      if (base !== this.#segment) {
        this.#segment = base
        this.#position = 0
      }
      const moved = this.#walk(base, recoveryPoint) || this.#skip(log)
      const at = this.#offset
      demand(moved, 'flushed-beyond-disk', () => {
        const file = `${this.#directory}/${fileName(base)}`
        return `flushed end ${recoveryPoint}, but offset ${at} (${file}, position ${this.#position}) is not on the platter`
      })
    }
  }

  /** Compaction may have taken the rest of the segment. */
  #skip(log: PartitionLog): boolean {
    const next = log.segments.find(({ baseOffset }) => baseOffset > this.#offset)?.baseOffset
    if (next === undefined || next > log.gapsBelowOffset) return false
    this.#offset = next
    return true
  }

  #walk(base: number, end: number): boolean {
    const name = fileName(base)
    const durableName = this.#disk.directory(this.#directory).durable.get(name)
    if (durableName === undefined || !isDurable(this.#disk, this.#directory)) return false
    const node = durableName as FileNode
    if (node !== this.#node) {
      this.#node = node
      this.#position = 0
    }
    const seen = this.#disk.node(`${this.#directory}/${name}`).cache.bytes
    const durable = node.durable.bytes
    const before = this.#offset
    const { rotten } = this.#model
    const first = this.#position === 0 ? base : this.#offset
    for (const batch of rotten.storedIn(seen.subarray(this.#position), first)) {
      if (this.#offset >= end) break
      const to = this.#position + batch.bytes.length
      const isSame =
        to <= durable.length && durable.subarray(this.#position, to).equals(batch.bytes)
      if (!isSame && !rotten.isAt(batch.base)) break
      this.#position = to
      this.#offset = Math.max(this.#offset, batch.last + 1)
    }
    return this.#offset > before
  }
}

function fileName(base: number): string {
  return `${String(base).padStart(20, '0')}.log`
}

/** Whether the directory's own name is on the platter. */
export function isDurable(disk: SimDisk, directory: string): boolean {
  const slash = directory.lastIndexOf('/')
  const parent = disk.directory(directory.slice(0, slash))
  const node: Node | undefined = parent.durable.get(directory.slice(slash + 1))
  return node === disk.directory(directory)
}

function segmentOf(log: PartitionLog, offset: number): number {
  return log.segments.findLast(({ baseOffset }) => baseOffset <= offset)?.baseOffset ?? 0
}

/** What the files of the log's segments hold below its end, as programs see it. */
export function storedIn(
  disk: SimDisk,
  directory: string,
  log: PartitionLog,
  rotten: RottenBatches,
): StoredBatch[] {
  const { logStart, logEnd } = log.offsets
  const found: StoredBatch[] = []
  for (const [index, { baseOffset }] of log.segments.entries()) {
    // What recovery moved into a file of its own may still lie behind in the one before.
    const end = log.segments[index + 1]?.baseOffset ?? logEnd
    const path = `${directory}/${String(baseOffset).padStart(20, '0')}.log`
    for (const batch of rotten.storedIn(disk.node(path).cache.bytes, baseOffset)) {
      if (batch.base >= end) break
      if (batch.last < logStart) continue
      found.push({ ...batch, bytes: Buffer.from(batch.bytes) })
    }
  }
  return found
}

/** What the durable file of marks says; 0 without one. */
export function durableLogStart(disk: SimDisk, directory: string): number {
  const node = disk.directory(directory).durable.get('log-marks')
  const text = node === undefined ? '' : (node as FileNode).durable.bytes.toString('latin1')
  return Number(/^log-start (\d+)$/m.exec(text)?.[1] ?? 0)
}

/** Base offset of the first segment with a durable name. */
export function firstDurableBase(disk: SimDisk, directory: string): number {
  let first = Number.POSITIVE_INFINITY
  for (const name of disk.directory(directory).durable.keys()) {
    if (/^\d{20}\.log$/.test(name)) first = Math.min(first, Number(name.slice(0, 20)))
  }
  return Number.isFinite(first) ? first : 0
}
