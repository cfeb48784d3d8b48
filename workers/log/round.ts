/**
 * The batches one log takes in one turn of its owner: staged, written together, rolled where due, or undone together.
 * Owner thread only.
 *
 *   active segment                       created by this round
 *   | counted bytes | batch 0 | batch 1 |   | batch 2 | batch 3 |     rolls = [ { index: 2, segment } ]
 *
 * Nothing is counted here: the log does that once all bytes are in the files.
 */
import type { Clock } from '../../src/contracts/clock.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { gatherWrite } from './gather-write.ts'
import { Segment } from './segment.ts'

/** Positions in Kafka's index are signed 32-bit numbers, and so are offsets relative to the segment's. */
const INT32_MAX = 2 ** 31 - 1

export class Round {
  readonly #env: { readonly disk: Disk; readonly clock: Clock }
  readonly #directory: string
  /** How many slots of the arrays count. They are reused from round to round. */
  count = 0
  readonly views: Uint8Array[] = []
  readonly lastOffsets: number[] = []
  readonly maxTimestampsMs: number[] = []
  /** Segments this round created, and the batch each begins with. */
  readonly rolls: { readonly index: number; readonly segment: Segment }[] = []

  constructor(env: { readonly disk: Disk; readonly clock: Clock }, directory: string) {
    this.#env = env
    this.#directory = directory
  }

  add(batch: Uint8Array, lastOffset: number, maxTimestampMs: number): void {
    const index = this.count++
    this.views[index] = batch
    this.lastOffsets[index] = lastOffset
    this.maxTimestampsMs[index] = maxTimestampMs
  }

  clear(): void {
    this.count = 0
    this.rolls.length = 0
  }

  /** Writes all batches behind the counted bytes of `active`, rolling where due. Throws as the disk does. */
  write(active: Segment, logEnd: number, config: LogConfig): void {
    let segment = active
    let start = segment.sizeBytes
    let position = start
    let from = 0
    const isOld = position > 0 && this.#isRollDue(segment, config)
    for (let index = 0; index < this.count; index++) {
      const bytes = this.views[index].length
      const isFull =
        position + bytes > config.segmentBytesMax ||
        this.lastOffsets[index] - segment.baseOffset > INT32_MAX
      if (position > 0 && (isFull || (isOld && index === 0))) {
        const baseOffset = index === 0 ? logEnd : this.lastOffsets[index - 1] + 1
        const next = this.#roll(segment, position + bytes, index, baseOffset, config)
        if (next !== null) {
          gatherWrite(segment, start, this.views, from, index)
          segment = next
          start = 0
          position = 0
          from = index
        }
      }
      position += bytes
    }
    gatherWrite(segment, start, this.views, from, this.count)
  }

  #isRollDue(segment: Segment, config: LogConfig): boolean {
    const ageMs = this.#env.clock.monotonicMs() - segment.bornMs
    return ageMs >= config.segmentAgeMsMax || segment.indexes.isFull(config.indexBytesMax)
  }

  /** Touches no file. */
  newSegment(baseOffset: number, { indexIntervalBytes }: LogConfig): Segment {
    return new Segment(this.#env.disk, this.#directory, baseOffset, indexIntervalBytes)
  }

  /** Null when no file can be made now and the old segment can take more for a while (up to twice its size). */
  #roll(
    old: Segment,
    bytesWithoutRoll: number,
    index: number,
    baseOffset: number,
    config: LogConfig,
  ): Segment | null {
    const segment = this.newSegment(baseOffset, config)
    try {
      segment.create()
    } catch (error) {
      const isRoomLeft = bytesWithoutRoll <= Math.min(2 * config.segmentBytesMax, INT32_MAX)
      if (isRoomLeft && this.lastOffsets[index] - old.baseOffset <= INT32_MAX) return null
      throw error
    }
    this.rolls.push({ index, segment })
    return segment
  }

  /** Takes back what `write` did before it threw; throws when the disk does not let it. */
  undo(active: Segment): void {
    for (const { segment } of this.rolls) segment.remove()
    active.truncateToCounted()
  }
}
