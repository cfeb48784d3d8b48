/**
 * Puts a finished `.cleaned` file in the place of the segments of its range while the log is served (swap.ts tells the
 * steps and what a crash leaves). Owner thread only; syncs and unlinks are started, never awaited in place.
 *
 *   rename to .swap | sync directory | readers change over, unlink the old | sync directory | rename to .log | sync
 *                                    ^ decided
 *
 * Readers use the old files up to the decision and the new one from then on, under whatever name it has. Any failure
 * takes the log offline (RELIABILITY P11): memory and disk agree up to the step that failed, and the next open does the
 * rest.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { cleanedIndexPath } from './compaction/cleaned-file.ts'
import type { LogState } from './log-options.ts'
import { Segment, type SegmentPaths, segmentPaths } from './segment.ts'
import {
  cleanedPath,
  putSwapInPlace,
  replacedPaths,
  type SwapRange,
  swapFileName,
  swapPath,
} from './swap.ts'

/** The log as its swapper sees it. */
export interface Swapped {
  readonly segments: Segment[]
  readonly state: LogState
  /** From now on `segment` stands for the `old` ones. */
  segmentsReplaced(old: readonly Segment[], segment: Segment): void
  roundFailed(error: Error): void
}

/** Told once: null when the file is in its place. */
export type SwapDone = (error: Error | null) => void

export class Swapper {
  readonly #log: Swapped
  readonly #disk: Disk
  readonly #directory: string
  #isSyncing = false
  #isStopped = false
  #done: SwapDone | null = null
  readonly #settling: (() => void)[] = []

  constructor(log: Swapped, disk: Disk, directory: string) {
    this.#log = log
    this.#disk = disk
    this.#directory = directory
  }

  /**
   * Starts a swap; one at a time. The task has written and synced the file, its indexes lie beside it, and `log-marks`
   * says that there may be gaps.
   */
  start(range: SwapRange, indexIntervalBytes: number, done: SwapDone): void {
    this.#done = done
    if (!this.#disk.exists(cleanedPath(this.#directory, range))) {
      // Somebody removed it. Nothing has changed, so the log goes on as it is.
      this.#finish(new Error(`${swapFileName(range, 'cleaned')} is gone`))
      return
    }
    this.#step(() => {
      this.#disk.rename(cleanedPath(this.#directory, range), swapPath(this.#directory, range))
      this.#sync(() => this.#decided(range, indexIntervalBytes))
    })
  }

  #decided(range: SwapRange, indexIntervalBytes: number): void {
    const { baseOffset } = range
    const paths: SegmentPaths = {
      log: swapPath(this.#directory, range),
      index: cleanedIndexPath(this.#directory, range, 'index'),
      timeindex: cleanedIndexPath(this.#directory, range, 'timeindex'),
    }
    const interval = indexIntervalBytes
    const gapsBelow = range.endOffset
    const segment = new Segment(this.#disk, this.#directory, baseOffset, interval, gapsBelow, paths)
    const old = this.#changeOver(range, segment)
    this.#unlink(replacedPaths(this.#directory, range, old), () => {
      this.#sync(() => this.#unlinked(range, segment, paths))
    })
  }

  #unlinked(range: SwapRange, segment: Segment, paths: SegmentPaths): void {
    putSwapInPlace(this.#disk, this.#directory, range)
    const final = segmentPaths(this.#directory, range.baseOffset)
    for (const kind of ['index', 'timeindex'] as const) {
      if (this.#disk.exists(paths[kind])) this.#disk.rename(paths[kind], final[kind])
    }
    segment.movedTo(final)
    this.#sync(() => this.#finish(null))
  }

  /** Returns the base offsets of those that it stands for. */
  #changeOver({ baseOffset, endOffset }: SwapRange, segment: Segment): number[] {
    const { segments } = this.#log
    const first = segments.findIndex(old => old.baseOffset >= baseOffset)
    const behind = segments.findIndex(old => old.baseOffset >= endOffset)
    const replaced = segments.splice(first, behind - first, segment)
    for (const old of replaced) {
      segment.lastAppendWallMs = Math.max(segment.lastAppendWallMs, old.lastAppendWallMs)
      const monotonicMs = Math.max(segment.lastAppendMonotonicMs, old.lastAppendMonotonicMs)
      segment.lastAppendMonotonicMs = monotonicMs
      old.closeFile()
    }
    this.#log.segmentsReplaced(replaced, segment)
    return replaced.map(old => old.baseOffset)
  }

  #sync(next: () => void): void {
    this.#wait(done => this.#disk.startSyncDirectory(this.#directory, done), next)
  }

  #unlink(paths: readonly string[], next: () => void): void {
    this.#wait(done => this.#disk.startUnlink(paths, done), next)
  }

  #wait(start: (done: SwapDone) => void, next: () => void): void {
    this.#isSyncing = true
    start(error => {
      this.#isSyncing = false
      this.#step(() => {
        if (error !== null) throw error
        next()
      })
      if (!this.#isSyncing) for (const tell of this.#settling.splice(0)) tell()
    })
  }

  /** Does nothing more for a log that is closed or offline: the next open goes on from what is on disk. */
  #step(act: () => void): void {
    if (this.#isStopped || this.#log.state === 'offline') {
      this.#finish(new Error('the log takes no more changes'))
      return
    }
    try {
      act()
    } catch (error) {
      this.#log.roundFailed(error as Error)
      this.#finish(error as Error)
    }
  }

  #finish(error: Error | null): void {
    const done = this.#done
    this.#done = null
    done?.(error)
  }

  get isSyncing(): boolean {
    return this.#isSyncing
  }

  /** Resolves when nothing is in flight. */
  settled(): Promise<void> {
    if (!this.#isSyncing) return Promise.resolve()
    return new Promise(resolve => this.#settling.push(resolve))
  }

  stop(): void {
    this.#isStopped = true
  }
}
