/**
 * The file `log-marks` of a log: two offsets that its records cannot tell. Owner thread only.
 *
 *   version 1
 *   log-start 1500           first offset a client may read
 *   cleaned-end 1200         below it compaction has taken records out: offsets may be missing
 *   crc32c 39c73bcf          of the lines above
 *
 * Replaced as a whole, so that a crash leaves the old one or the new one:
 *
 *   write log-marks.new -> sync -> rename -> sync directory (and the one above, while the log's name is new) -> done
 *
 * One replacement is under way at a time; what is asked for meanwhile shares the next one. Without the file the log
 * starts at its first segment.
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import {
  decodeMarks,
  encodeMarks,
  LOG_MARKS_FILE,
  type MarkOffsets,
} from '../../src/contracts/log-marks.ts'
import { createEmpty, isExhausted, unlinkIfThere, writeFully } from './files.ts'

export { encodeMarks, type MarkOffsets } from '../../src/contracts/log-marks.ts'

const newFileName = 'log-marks.new'

/** Told once, with null when the mark is durable. */
export type MarkDone = (error: Error | null) => void

interface Waiting {
  readonly isMet: (written: MarkOffsets) => boolean
  readonly done: MarkDone
}

/** What the file says. `bad`: it is there, and not whole. Throws as the disk does. */
export function readMarks(disk: Disk, directory: string): MarkOffsets | 'missing' | 'bad' {
  const path = `${directory}/${LOG_MARKS_FILE}`
  if (!disk.exists(path)) return 'missing'
  return decodeMarks(disk.readFile(path)) ?? 'bad'
}

/** Drops what a replacement that was cut short left. */
export function removeUnfinishedMarks(disk: Disk, directory: string): void {
  unlinkIfThere(disk, `${directory}/${newFileName}`)
}

/** The marks of one open log. Neither of them ever goes back. */
export class Marks {
  readonly #disk: Disk
  readonly #directory: string
  /** A sync, or a write for another reason than want of room, has failed: the log goes offline (RELIABILITY P11). */
  readonly #onFailure: (error: Error) => void
  /** Directories whose names a mark needs, innermost first. */
  #directories: readonly string[]
  #durable: MarkOffsets
  #wanted: MarkOffsets
  #waiting: Waiting[] = []
  #state: 'idle' | 'writing' | 'stopped' = 'idle'
  #isInFlight = false
  readonly #settling: (() => void)[] = []

  constructor(
    disk: Disk,
    directory: string,
    marks: MarkOffsets,
    onFailure: (error: Error) => void,
    newParent: string | null = null,
  ) {
    this.#directories = newParent === null ? [directory] : [directory, newParent]
    this.#disk = disk
    this.#directory = directory
    this.#durable = marks
    this.#wanted = marks
    this.#onFailure = onFailure
  }

  /** As it is on disk. */
  get logStart(): number {
    return this.#durable.logStart
  }

  /** As it is on disk. */
  get cleanedEnd(): number {
    return this.#durable.cleanedEnd
  }

  /** `done` comes once a file with this mark or a later one is durable: at once when it is already. */
  moveLogStart(offset: number, done: MarkDone): void {
    const logStart = Math.max(this.#wanted.logStart, offset)
    this.#move({ ...this.#wanted, logStart }, ({ logStart: written }) => written >= offset, done)
  }

  /** As `moveLogStart`. To be done before a file with gaps replaces another. */
  moveCleanedEnd(offset: number, done: MarkDone): void {
    const cleanedEnd = Math.max(this.#wanted.cleanedEnd, offset)
    const isMet = ({ cleanedEnd: written }: MarkOffsets): boolean => written >= offset
    this.#move({ ...this.#wanted, cleanedEnd }, isMet, done)
  }

  /** Writes the file although no mark moved: the one on disk is bad. */
  rewrite(): void {
    if (this.#state === 'idle') this.#start()
  }

  #move(wanted: MarkOffsets, isMet: Waiting['isMet'], done: MarkDone): void {
    if (isMet(this.#durable)) {
      done(null)
      return
    }
    if (this.#state === 'stopped') {
      done(new Error('the log takes no more changes'))
      return
    }
    this.#wanted = wanted
    this.#waiting.push({ isMet, done })
    if (this.#state === 'idle') this.#start()
  }

  #start(): void {
    this.#state = 'writing'
    const written = this.#wanted
    let file: DiskFile | null = null
    try {
      file = createEmpty(this.#disk, `${this.#directory}/${newFileName}`)
      writeFully(file, encodeMarks(written), 0)
      const open = file
      this.#isInFlight = true
      file.startSync(error => {
        open.close()
        this.#synced(written, error)
      })
    } catch (error) {
      this.#isInFlight = false
      file?.close()
      this.#failed(error as Error, !isExhausted(error as Error))
    }
  }

  #synced(written: MarkOffsets, error: Error | null): void {
    this.#isInFlight = false
    if (this.#state === 'stopped') this.#settled()
    else if (error !== null) this.#failed(error, true)
    else this.#rename(written)
  }

  #rename(written: MarkOffsets): void {
    const directory = this.#directory
    try {
      this.#disk.rename(`${directory}/${newFileName}`, `${directory}/${LOG_MARKS_FILE}`)
      this.#syncDirectory(written, 0)
    } catch (error) {
      this.#failed(error as Error, true)
    }
  }

  #syncDirectory(written: MarkOffsets, index: number): void {
    this.#isInFlight = true
    this.#disk.startSyncDirectory(this.#directories[index], error => {
      this.#isInFlight = false
      if (this.#state === 'stopped') this.#settled()
      else if (error !== null) this.#failed(error, true)
      else if (index + 1 < this.#directories.length) this.#syncDirectory(written, index + 1)
      else this.#succeeded(written)
    })
  }

  /** The log's own name is on disk: a flush has seen to it, or a mark. */
  nameSynced(): void {
    this.#directories = [this.#directory]
  }

  #succeeded(written: MarkOffsets): void {
    this.#state = 'idle'
    this.nameSynced()
    this.#durable = written
    const met = this.#waiting.filter(({ isMet }) => isMet(written))
    this.#waiting = this.#waiting.filter(({ isMet }) => !isMet(written))
    if (this.#waiting.length > 0) this.#start()
    for (const { done } of met) done(null)
    this.#settled()
  }

  /** Final: nothing of this log is written any more. Else what was asked for is given up and may be asked again. */
  #failed(error: Error, isFinal: boolean): void {
    this.#wanted = this.#durable
    const failed = this.#waiting.splice(0)
    this.#state = isFinal ? 'stopped' : 'idle'
    for (const { done } of failed) done(error)
    if (isFinal) this.#onFailure(error)
    this.#settled()
  }

  /** No replacement starts any more; those who wait for one are told. */
  stop(): void {
    if (this.#state === 'stopped') return
    this.#state = 'stopped'
    const closed = new Error('the log was closed')
    for (const { done } of this.#waiting.splice(0)) done(closed)
  }

  get isSyncing(): boolean {
    return this.#isInFlight
  }

  /** Resolves when no replacement is under way. */
  settled(): Promise<void> {
    if (!this.#isInFlight) return Promise.resolve()
    return new Promise(resolve => this.#settling.push(resolve))
  }

  #settled(): void {
    if (this.#isInFlight) return
    for (const tell of this.#settling.splice(0)) tell()
  }
}
