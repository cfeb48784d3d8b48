/**
 * Notes down, now and then, what a flush has proved: the producers' windows as of an offset below which everything is
 * synced (`.window`), so that recovery neither reads nor rebuilds what lies before. Owner thread only.
 *
 *   flush round starts: capture(state, log end)      round done: write the file      round failed: the capture is dropped
 *
 * The order is the proof: the file appears after the sync that it speaks of (RELIABILITY section 1, BookKeeper's lesson).
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { logFilePath, replaceFile, unlinkIfThere } from './files.ts'
import { encodeSnapshot, encodeWindow } from './producer-files.ts'
import type { ProducerState } from './producer-state.ts'

/** At most about this much of a log is checked again after an unclean stop. */
const INTERVAL_BYTES = 16 * 1024 * 1024
/** Kafka's producer.id.expiration.ms. */
const PRODUCER_IDLE_MS_MAX = 24 * 60 * 60 * 1000

export class Checkpoints {
  readonly #disk: Disk
  readonly #directory: string
  readonly #producers: ProducerState
  /** Of the window files on disk, ascending. */
  readonly #offsets: number[]
  #bytesSince = 0
  #captured: Buffer | null = null
  #capturedOffset = -1

  constructor(
    disk: Disk,
    directory: string,
    producers: ProducerState,
    windowOffsets: readonly number[],
  ) {
    this.#disk = disk
    this.#directory = directory
    this.#producers = producers
    this.#offsets = [...windowOffsets]
  }

  appended(bytes: number): void {
    this.#bytesSince += bytes
  }

  /** A flush round starts that will prove `offset`, which is as far as the producers' state goes. */
  maybeCapture(offset: number, nowMs: number): void {
    this.#captured = null
    if (this.#bytesSince < INTERVAL_BYTES) return
    this.#producers.expire(nowMs, PRODUCER_IDLE_MS_MAX)
    this.#captured = encodeWindow(this.#producers, offset)
    this.#capturedOffset = offset
    this.#bytesSince = 0
  }

  /** That round has succeeded. */
  maybeWrite(): void {
    if (this.#captured === null) return
    this.#write(this.#capturedOffset, this.#captured)
    this.#captured = null
  }

  /** Everything up to `offset`, the log end, is synced and the log is about to close (or has just been recovered). */
  writeFinal(offset: number): void {
    if (this.#offsets.at(-1) === offset && this.#bytesSince === 0) return
    this.#write(offset, encodeWindow(this.#producers, offset))
    this.#bytesSince = 0
  }

  /** Kafka's own snapshot of the log end; replaces those of earlier ends. */
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
      // A cache for Kafka's tools.
    }
  }

  /** Keeps the file before the newest, in case a crash tears that one. */
  #write(offset: number, bytes: Buffer): void {
    if (this.#offsets.at(-1) === offset) this.#offsets.pop()
    try {
      replaceFile(this.#disk, logFilePath(this.#directory, offset, 'window'), bytes)
      this.#offsets.push(offset)
      while (this.#offsets.length > 2) {
        const oldest = this.#offsets.shift()!
        unlinkIfThere(this.#disk, logFilePath(this.#directory, oldest, 'window'))
      }
    } catch {
      // A torn file fails its checksum, and the one before it still stands.
    }
  }
}
