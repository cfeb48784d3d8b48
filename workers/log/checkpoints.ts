/**
 * Notes down, now and then, what a flush has proved: the producers' windows as of an offset below which everything is
 * synced (`.window`), so that recovery neither checks nor rebuilds what lies before. Owner thread only.
 *
 *   flush round starts: capture(state, log end)      round done: write the file      round failed: nothing is written
 *
 * The order is the proof: the file appears after the sync it speaks of (RELIABILITY section 1, BookKeeper's lesson). It
 * needs no sync of its own, a lost or torn one only makes recovery read more.
 */
import type { Clock } from '../../src/contracts/clock.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { logFilePath, replaceFile, unlinkIfThere } from './files.ts'
import { encodeSnapshot, encodeWindow } from './producer-files.ts'
import type { ProducerState } from './producer-state.ts'

/** At most about this much of a log, or what came in this time, is copied after an unclean stop, */
const INTERVAL_BYTES = 16 * 1024 * 1024
const INTERVAL_MS = 5_000
/** and of all logs of a thread together about this much, but for small change. */
const THREAD_BYTES = 32 * 1024 * 1024
const SMALL_BYTES = 1024 * 1024

/** Bytes that no window file covers yet, of all logs on a disk that one thread has open. */
const uncovered = new WeakMap<Disk, { bytes: number }>()

function uncoveredOn(disk: Disk): { bytes: number } {
  const known = uncovered.get(disk) ?? { bytes: 0 }
  uncovered.set(disk, known)
  return known
}

export class Checkpoints {
  readonly #disk: Disk
  readonly #clock: Clock
  readonly #directory: string
  readonly #producers: ProducerState
  /** The log end when all of it is synced and nothing is staged, else -1. */
  readonly #idleEnd: () => number
  /** Writes out the index of the segment that is written to: without it, recovery walks all of the segment. */
  readonly #saveIndexes: () => void
  readonly #all: { bytes: number }
  /** Of the window files on disk, ascending. */
  #offsets: readonly number[]
  #bytesSince = 0
  #captured: Buffer | null = null
  #capturedOffset = -1
  #cancelTimer: (() => void) | null = null
  #isTimeUp = false

  constructor(
    env: { readonly disk: Disk; readonly clock: Clock },
    directory: string,
    producers: ProducerState,
    windowOffsets: readonly number[],
    idleEnd: () => number,
    saveIndexes: () => void,
  ) {
    this.#disk = env.disk
    this.#clock = env.clock
    this.#directory = directory
    this.#producers = producers
    this.#offsets = windowOffsets
    this.#idleEnd = idleEnd
    this.#saveIndexes = saveIndexes
    this.#all = uncoveredOn(env.disk)
  }

  appended(bytes: number): void {
    this.#bytesSince += bytes
    this.#all.bytes += bytes
    if (this.#cancelTimer !== null || this.#isTimeUp) return
    this.#cancelTimer = this.#clock.after(INTERVAL_MS, () => {
      this.#cancelTimer = null
      this.#isTimeUp = true
      const offset = this.#idleEnd()
      if (offset >= 0) this.write(offset)
    })
  }

  /** A flush round starts that will prove `offset`, which is as far as the producers' state goes. */
  maybeCapture(offset: number): void {
    this.#captured = null
    if (!this.#isTimeUp && !this.#isMuch()) return
    this.#captured = this.#encode(offset)
    this.#capturedOffset = offset
  }

  #isMuch(): boolean {
    if (this.#bytesSince >= INTERVAL_BYTES) return true
    return this.#all.bytes >= THREAD_BYTES && this.#bytesSince >= SMALL_BYTES
  }

  /** That round has succeeded. */
  maybeWrite(): void {
    if (this.#captured === null) return
    this.#write(this.#capturedOffset, this.#captured)
    this.#captured = null
  }

  /** Everything up to `offset`, the log end, is synced. */
  write(offset: number): void {
    this.#write(offset, this.#encode(offset))
  }

  /** The same before the log closes: an idle log has it on disk already. Returns whether it is there now. */
  maybeWriteLast(offset: number): boolean {
    if (this.#offsets.at(-1) !== offset || this.#bytesSince > 0) this.write(offset)
    return this.#offsets.at(-1) === offset
  }

  /**
   * Whether what producers sent below `offset` is noted down, so that the records may go; if not, sees to it. A disk
   * that takes no note must not keep the records: then they go without.
   */
  isCovered(offset: number): boolean {
    if ((this.#offsets.at(-1) ?? -1) >= offset || this.#producers.entries.size === 0) return true
    const idleEnd = this.#idleEnd()
    if (idleEnd >= 0) {
      this.write(idleEnd)
      return true
    }
    this.#isTimeUp = true
    return false
  }

  #encode(offset: number): Buffer {
    this.stop()
    return encodeWindow(this.#producers, offset)
  }

  /** What came in so far counts no longer. */
  stop(): void {
    this.#all.bytes -= this.#bytesSince
    this.#bytesSince = 0
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#isTimeUp = false
  }

  /** Keeps the file before the newest, in case a crash tears that one. One beyond the end can only be a damaged one. */
  #write(offset: number, bytes: Buffer): void {
    try {
      replaceFile(this.#disk, logFilePath(this.#directory, offset, 'window'), bytes)
      const before = this.#offsets.filter(other => other < offset)
      const kept = [...before.slice(-1), offset]
      for (const other of this.#offsets) {
        if (kept.includes(other)) continue
        unlinkIfThere(this.#disk, logFilePath(this.#directory, other, 'window'))
      }
      this.#offsets = kept
      this.#saveIndexes()
    } catch {
      // A torn file fails its checksum, and the one before it still stands.
    }
  }

  /** Kafka's own snapshot of the log end, for Kafka's tools; replaces those at `old` offsets. */
  writeSnapshot(offset: number, old: readonly number[]): void {
    if (this.#producers.entries.size === 0 && old.length === 0) return
    try {
      const path = logFilePath(this.#directory, offset, 'snapshot')
      replaceFile(this.#disk, path, encodeSnapshot(this.#producers))
      for (const before of old) {
        if (before === offset) continue
        unlinkIfThere(this.#disk, logFilePath(this.#directory, before, 'snapshot'))
      }
    } catch {
      // A cache.
    }
  }
}
