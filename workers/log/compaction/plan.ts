/**
 * Which segments of a log a compaction pass would take, and whether it is worth it. Owner thread only; changes nothing.
 *
 *   | below logStart | clean ........ | dirty ....... | too young, or not synced | active |
 *                    ^ sources start  ^ dirtyStart    ^ sources end
 *
 * Due when dirty bytes are `min.cleanable.dirty.ratio` of all of them, or a dirty record is older than
 * `max.compaction.lag.ms`. Ages count from the broker's append, by the clock that says less (as retention does).
 */
import type { Clock } from '../../../src/contracts/clock.ts'
import type { LogConfig } from '../../../src/contracts/log-config.ts'
import type { LogState } from '../log-options.ts'
import type { LogOffsets } from '../offsets.ts'
import type { Segment } from '../segment.ts'
import type { SwapRange } from '../swap.ts'
import type { CompactionSource } from './compact-segments.ts'

/** A log as compaction sees it. */
export interface Compactable {
  readonly slot: number
  readonly name: string
  readonly directory: string
  readonly config: LogConfig
  readonly state: LogState
  readonly offsets: LogOffsets
  readonly segments: readonly Segment[]
  reserved: SwapRange | null
  readonly retention: {
    /** The segment's bytes and name are synced, and what its producers sent last is noted down elsewhere. */
    isExpendable(segment: Segment, endOffset: number): boolean
  }
}

export interface CompactionPlan {
  readonly config: LogConfig
  /** Neighbours, oldest first. */
  readonly segments: readonly Segment[]
  readonly sources: readonly CompactionSource[]
  readonly range: SwapRange
  /** 0 to 1. */
  readonly dirtyRatio: number
  readonly isDue: boolean
}

/** Null when nothing is dirty. Throws as the disk does. */
export function planCompaction(
  log: Compactable,
  dirtyStart: number,
  clock: Clock,
): CompactionPlan | null {
  const { config, segments } = log
  const sources: CompactionSource[] = []
  const first = segments.findIndex((_, index) => endOf(segments, index) > log.offsets.logStart)
  let dirtyBytes = 0
  let totalBytes = 0
  let dirtyAgeMs = 0
  for (let index = first; index < segments.length - 1; index++) {
    const segment = segments[index]
    const endOffset = endOf(segments, index)
    const ages = agesOf(segment, clock)
    if (!log.retention.isExpendable(segment, endOffset) || ages.lastMs < config.minCompactionLagMs)
      break
    const { baseOffset, sizeBytes } = segment
    sources.push({ baseOffset, endOffset, sizeBytes, appendedMs: appendedMs(segment) })
    totalBytes += sizeBytes
    if (endOffset <= dirtyStart) continue
    dirtyBytes += sizeBytes
    dirtyAgeMs = Math.max(dirtyAgeMs, ages.firstMs)
  }
  if (dirtyBytes === 0) return null
  const dirtyRatio = dirtyBytes / totalBytes
  return {
    config,
    segments: segments.slice(first, first + sources.length),
    sources,
    range: { baseOffset: sources[0].baseOffset, endOffset: sources.at(-1)!.endOffset },
    dirtyRatio,
    isDue: dirtyRatio >= config.minCleanableRatio || dirtyAgeMs >= config.maxCompactionLagMs,
  }
}

function endOf(segments: readonly Segment[], index: number): number {
  return segments[index + 1]?.baseOffset ?? Number.POSITIVE_INFINITY
}

/** Of the newest record, on the wall clock. */
function appendedMs(segment: Segment): number {
  return segment.lastAppendWallMs >= 0 ? segment.lastAppendWallMs : segment.modifiedMs
}

/** Ages of the last record and, as far as this process has seen it, of the first. */
function agesOf(segment: Segment, clock: Clock): { lastMs: number; firstMs: number } {
  const wallAgeMs = clock.wallMs() - appendedMs(segment)
  if (segment.lastAppendWallMs < 0) return { lastMs: wallAgeMs, firstMs: wallAgeMs }
  const monotonicMs = clock.monotonicMs()
  const lastMs = Math.min(wallAgeMs, monotonicMs - segment.lastAppendMonotonicMs)
  const firstMs = segment.bornMs > 0 ? monotonicMs - segment.bornMs : lastMs
  return { lastMs, firstMs: Math.max(firstMs, lastMs) }
}
