/**
 * One compaction pass over the sealed segments of one log. Pool thread (workers/tasks/compact-segments.ts), or the
 * caller's in tests and simulation: a pure function of the files that are read to the `.cleaned` files it writes.
 *
 *   offsets    start ........... dirtyStart ........ mapEnd ....... end
 *   1. read                          [ keys -> map  )                       ends early when the map is full
 *   2. rewrite [ group )[ group ............... )[ group  )                 every segment that begins below mapEnd
 *
 * Offsets stay what they are. A group is a run of segments that fit one file; it replaces all of them. The last batch
 * of the whole stretch stays, empty if need be, so that a reader in the gap before it finds something to go on from.
 * Where the disk has no room for the next group the pass ends: what it has written makes room once it is in place.
 */
import type { Disk, DiskFile } from '../../../src/contracts/disk.ts'
import {
  attributesAt,
  baseOffsetAt,
  isControl,
  isTransactional,
  lastOffsetAt,
} from '../../../src/protocol/record-batch.ts'
import { codedError, logFilePath } from '../files.ts'
import { cleanedPath, type SwapRange } from '../swap.ts'
import { BatchFilter } from './batch-filter.ts'
import { BatchReader } from './batch-reader.ts'
import { BatchRecords } from './batch-records.ts'
import { CleanedFile, dropCleaned } from './cleaned-file.ts'
import { KeyMap } from './key-map.ts'

/** A sealed segment, wholly synced. */
export interface CompactionSource extends SwapRange {
  readonly sizeBytes: number
  /** When its newest batch was appended, on the wall clock. */
  readonly appendedMs: number
}

export interface CompactionInput {
  readonly directory: string
  /** Neighbours, oldest first; each ends where the next begins. At least one. */
  readonly sources: readonly CompactionSource[]
  /** Below it every record is the newest of its key among those below. */
  readonly dirtyStart: number
  readonly mapBytes: number
  readonly nowMs: number
  readonly deleteRetentionMs: number
  readonly segmentBytesMax: number
  readonly indexBytesMax: number
  readonly indexIntervalBytes: number
  /** Base offsets of batches that stay at least as empty ones: the producers' windows. */
  readonly remembered: Float64Array
  /** So much of the disk stays free: it is for others. */
  readonly reserveBytes: number
  /** Of one batch; without it the default of decompressed.max.bytes. */
  readonly decompressedBytesMax?: number
}

/** As the task of the pool gets it. */
export interface CompactTaskInput extends CompactionInput {
  /** Read and written together. */
  readonly bytesPerSecondMax: number
}

/** The file that replaces the segments of its range. */
export interface CleanedRange extends SwapRange {
  readonly sizeBytes: number
  readonly appendedMs: number
}

export interface CompactionOutput {
  /** Where the next pass begins: below, every key has one record now. */
  readonly mapEnd: number
  /** Oldest first, to be put in place in this order. Ranges in which nothing changed are not in it. */
  readonly cleaned: readonly CleanedRange[]
  readonly readBytes: number
  readonly writtenBytes: number
  readonly recordsRemoved: number
  /** Batches whose records could not be read, and were copied. */
  readonly unreadableBatches: number
}

const RELATIVE_OFFSET_MAX = 2 ** 31 - 1
const INDEX_ENTRY_BYTES = 12
/** Segments that one file replaces: the owner unlinks them in one go. */
const GROUP_SEGMENTS_MAX = 100

/**
 * Throws as the disk does, and EBADBATCH where a segment is damaged: nothing is left behind then, and the log is as it
 * was. `pace` is told of all bytes read and written, and may sleep.
 */
export function compactSegments(
  disk: Disk,
  input: CompactionInput,
  pace: (bytes: number) => void = () => {},
): CompactionOutput {
  return new CompactionPass(disk, input, pace).run()
}

class CompactionPass {
  readonly #disk: Disk
  readonly #input: CompactionInput
  readonly #reader: BatchReader
  readonly #remembered: ReadonlySet<number>
  readonly #written: SwapRange[] = []
  readonly #paceHook: (bytes: number) => void
  #readBytes = 0
  #writtenBytes = 0

  constructor(disk: Disk, input: CompactionInput, pace: (bytes: number) => void) {
    this.#disk = disk
    this.#input = input
    this.#paceHook = pace
    this.#remembered = new Set(input.remembered)
    this.#reader = new BatchReader(bytes => {
      this.#readBytes += bytes
      pace(bytes)
    })
  }

  run(): CompactionOutput {
    try {
      return this.#run()
    } catch (error) {
      for (const range of this.#written) dropQuietly(this.#disk, this.#input.directory, range)
      throw error
    }
  }

  #run(): CompactionOutput {
    const { sources, dirtyStart } = this.#input
    const { keys, mapEnd } = this.#mapKeys()
    const filter = new BatchFilter({ ...this.#input, keys, mapEnd })
    const rewritten = sources.filter(({ baseOffset }) => baseOffset < mapEnd)
    const cleaned: CleanedRange[] = []
    let cleanEnd = mapEnd
    for (const group of groupSources(rewritten, this.#input)) {
      const missingBytes = this.#missingBytes(group)
      if (missingBytes > 0 && cleaned.length === 0) {
        throw codedError('ENOSPC', `${missingBytes} more bytes of the disk would have to be free`)
      }
      if (missingBytes > 0) {
        cleanEnd = Math.max(dirtyStart, Math.min(mapEnd, group[0].baseOffset))
        break
      }
      const range = this.#rewrite(group, filter, group.at(-1) === rewritten.at(-1))
      if (range !== null) cleaned.push(range)
    }
    return {
      mapEnd: cleanEnd,
      cleaned,
      readBytes: this.#readBytes,
      writtenBytes: this.#writtenBytes,
      recordsRemoved: filter.recordsRemoved,
      unreadableBatches: filter.unreadable,
    }
  }

  /** What the disk lacks for a copy of the group. */
  #missingBytes(group: readonly CompactionSource[]): number {
    const { directory, reserveBytes } = this.#input
    const groupBytes = group.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    return groupBytes + reserveBytes - this.#disk.freeBytes(directory)
  }

  /** Reads the dirty segments until they end or the map is full. */
  #mapKeys(): { keys: KeyMap; mapEnd: number } {
    const { sources, dirtyStart, mapBytes } = this.#input
    const { endOffset } = sources.at(-1)!
    const keys = new KeyMap(mapBytes, endOffset - dirtyStart)
    const records = new BatchRecords(this.#input.decompressedBytesMax)
    let fullAt = -1
    for (const source of sources) {
      if (source.endOffset <= dirtyStart || fullAt >= 0) continue
      this.#forEachBatch(source, batch => {
        if (lastOffsetAt(batch, 0) >= dirtyStart) fullAt = putKeys(batch, records, keys, dirtyStart)
        return fullAt < 0
      })
    }
    return { keys, mapEnd: fullAt < 0 ? endOffset : fullAt }
  }

  /** Null when the new file would hold what the old one does. */
  #rewrite(
    group: readonly CompactionSource[],
    filter: BatchFilter,
    isLast: boolean,
  ): CleanedRange | null {
    const { directory, indexIntervalBytes } = this.#input
    const range = { baseOffset: group[0].baseOffset, endOffset: group.at(-1)!.endOffset }
    let isChanged = group.length > 1
    const file = new CleanedFile(this.#disk, directory, range, indexIntervalBytes, bytes => {
      this.#writtenBytes += bytes
      this.#paceHook(bytes)
    })
    this.#written.push(range)
    try {
      for (const source of group) {
        const isEnd = isLast && source === group.at(-1)
        this.#forEachBatch(source, batch => {
          const isLastBatch = isEnd && this.#reader.isAtEnd
          const isRemembered = isLastBatch || this.#remembered.has(baseOffsetAt(batch, 0))
          const left = filter.apply(batch, isRemembered)
          if (left !== null) file.add(left)
          isChanged ||= left !== batch
          return true
        })
      }
      file.finish()
    } finally {
      file.close()
    }
    if (!isChanged) {
      dropCleaned(this.#disk, directory, range)
      return null
    }
    const appendedMs = Math.max(...group.map(source => source.appendedMs))
    this.#disk.setModifiedMs(cleanedPath(directory, range), appendedMs)
    return { ...range, sizeBytes: file.sizeBytes, appendedMs }
  }

  /** Until `visit` returns false. */
  #forEachBatch(source: CompactionSource, visit: (batch: Buffer) => boolean): void {
    const file = this.#open(source.baseOffset)
    try {
      this.#reader.start(file, source.sizeBytes, source)
      for (let batch = this.#reader.next(); batch !== null; batch = this.#reader.next()) {
        if (!visit(batch)) return
      }
    } finally {
      file.close()
    }
  }

  #open(baseOffset: number): DiskFile {
    return this.#disk.open(logFilePath(this.#input.directory, baseOffset, 'log'), 'r')
  }
}

/** Returns -1, or the offset of the first record for which the map has no room. */
function putKeys(batch: Buffer, records: BatchRecords, keys: KeyMap, dirtyStart: number): number {
  const attributes = attributesAt(batch, 0)
  // What a transaction wrote may have been aborted: it replaces nothing.
  if (isControl(attributes) || isTransactional(attributes) || !records.open(batch)) return -1
  while (records.next()) {
    const { key, offset } = records
    if (key === null || offset < dirtyStart) continue
    if (!keys.put(key, offset)) return offset
  }
  return -1
}

/** Runs of neighbours that fit one file, judged by what they are now: cleaned they are hardly larger. */
function groupSources(
  sources: readonly CompactionSource[],
  { segmentBytesMax, indexBytesMax, indexIntervalBytes }: CompactionInput,
): CompactionSource[][] {
  const bytesMax = Math.min(
    segmentBytesMax,
    (indexBytesMax / INDEX_ENTRY_BYTES) * indexIntervalBytes,
  )
  const groups: CompactionSource[][] = []
  let bytes = 0
  for (const source of sources) {
    const group = groups.at(-1)
    const isFitting =
      group !== undefined &&
      group.length < GROUP_SEGMENTS_MAX &&
      bytes + source.sizeBytes <= bytesMax &&
      source.endOffset - group[0].baseOffset <= RELATIVE_OFFSET_MAX
    if (isFitting) group.push(source)
    else groups.push([source])
    bytes = isFitting ? bytes + source.sizeBytes : source.sizeBytes
  }
  return groups
}

function dropQuietly(disk: Disk, directory: string, range: SwapRange): void {
  try {
    dropCleaned(disk, directory, range)
  } catch {
    // The owner drops it before the next pass, or the next open does.
  }
}
