/**
 * Keeps the last free bytes of the disk for what must go on when producers fill it: retention, the broker's own topics,
 * metadata. Owner thread only; every owner looks for itself.
 *
 *   free   |<--- reserve --->|<--- reserve --->|
 *          0            full below        room again from here
 *
 * A look is one statfs (some microseconds): after so many appended bytes as can do no harm, when a write found no room,
 * and every second while the disk is full. Never per request.
 */
import type { Clock } from '../src/contracts/clock.ts'
import type { Disk } from '../src/contracts/disk.ts'

const reserveBytesMax = 256 * 1024 * 1024
const reservePart = 0.05
/** Appended bytes between two looks. */
const stepBytesMax = 64 * 1024 * 1024
const stepBytesMin = 16 * 1024
/** Between looks while the disk is full or a log could not write. */
const lookMs = 1000

export interface DiskSpaceOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly directory: string
  /** -1 for the smaller of 256 MiB and 5 % of the file system; 0 for none. */
  readonly reserveBytes: number
  /** `isFull` has changed. */
  onChange(isFull: boolean, freeBytes: number): void
  /** There is room, as far as can be told: logs whose writes failed for want of it may try again. */
  onRoom(): void
}

/** The part of the disk that `directory` lies on which producers may not touch. Throws as the disk does. */
export function reserveBytesOf(disk: Disk, directory: string, configuredBytes: number): number {
  if (configuredBytes >= 0) return configuredBytes
  return Math.min(reserveBytesMax, reservePart * disk.totalBytes(directory))
}

export class DiskSpace {
  readonly #options: DiskSpaceOptions
  /** True while nobody but the broker itself may append. */
  isFull = false
  #bytesToLook = 0
  #isLookDue = false

  constructor(options: DiskSpaceOptions) {
    this.#options = options
    this.#look()
  }

  /** Bytes are about to be appended. */
  appending(bytes: number): void {
    this.#bytesToLook -= bytes
    if (this.#bytesToLook < 0) this.#look()
  }

  /** A write failed for want of room: of the disk, of a quota, of a limit. */
  exhausted(): void {
    this.#look()
    this.#lookLater()
  }

  #look(): void {
    const { disk, directory } = this.#options
    let freeBytes: number
    let reserveBytes: number
    try {
      freeBytes = disk.freeBytes(directory)
      reserveBytes = reserveBytesOf(disk, directory, this.#options.reserveBytes)
    } catch {
      // Nothing is known: the writes themselves will tell.
      this.#bytesToLook = stepBytesMax
      if (this.isFull) this.#lookLater()
      return
    }
    const headroomBytes = freeBytes - reserveBytes
    // Others write to this disk, too: look long before what is known to be there can be used up.
    this.#bytesToLook = Math.min(stepBytesMax, Math.max(stepBytesMin, headroomBytes / 8))
    const isFull = freeBytes < (this.isFull ? 2 * reserveBytes : reserveBytes)
    if (isFull) this.#lookLater()
    if (isFull === this.isFull) return
    this.isFull = isFull
    this.#options.onChange(isFull, freeBytes)
  }

  #lookLater(): void {
    if (this.#isLookDue) return
    this.#isLookDue = true
    this.#options.clock.after(lookMs, () => {
      this.#isLookDue = false
      this.#look()
      if (!this.isFull) this.#options.onRoom()
    })
  }
}
