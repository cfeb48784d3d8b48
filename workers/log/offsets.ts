/**
 * The offsets of one log and the only place that moves them. Owner thread only.
 *
 *     logStart <= highWatermark <= logEnd          recoveryPoint <= F <= logEnd
 *        |            |              |
 *     ---[============|--------------)             records; [ readable )  - appended, not yet readable
 *                     F = flushedEnd               under `group-commit` and `interval` the high watermark is F;
 *                                                  under `os` it is logEnd
 *
 *     segments  [=========)                        recoveryPoint: what the files of the log prove
 *     journal       [==========)                   a range that the owner's journal proves: it counts while no gap is
 *                              F                   between the two
 *
 * None of them ever goes back: a round that could not be written was never counted.
 */
import assert from 'node:assert'

export class LogOffsets {
  /** First offset a client may read. */
  logStart: number
  /** End, exclusive, of what consumers may read. */
  highWatermark: number
  /** Offset the next record gets. */
  logEnd: number
  /** File bytes and directory entries of everything below are synced: nothing else is needed to have it again. */
  recoveryPoint: number
  /** Flushed end: everything below is on disk, in the segments or in the owner's journal. */
  flushedEnd: number
  /** What the journal proves beyond the recovery point, perhaps with a gap before it. */
  #journaledFrom = 0
  #journaledEnd = 0
  #readableUnflushed: boolean

  /**
   * A log that has just been opened; nothing says that bytes from `flushedEnd` on are on disk, and nothing but a
   * journal that those from `recoveryPoint` on are.
   */
  constructor(
    logStart: number,
    logEnd: number,
    readableUnflushed: boolean,
    recoveryPoint: number = logEnd,
    flushedEnd: number = recoveryPoint,
  ) {
    this.logStart = logStart
    this.highWatermark = readableUnflushed ? logEnd : flushedEnd
    this.logEnd = logEnd
    this.recoveryPoint = recoveryPoint
    this.flushedEnd = flushedEnd
    this.#readableUnflushed = readableUnflushed
    this.#check()
  }

  /** Records up to `logEnd`, exclusive, are in the log file. */
  appended(logEnd: number): void {
    assert(logEnd >= this.logEnd, `log end went back from ${this.logEnd} to ${logEnd}`)
    this.logEnd = logEnd
    if (this.#readableUnflushed) this.highWatermark = logEnd
    this.#check()
  }

  /** A sync that started when the log ended at `recoveryPoint` has succeeded for file and directory. */
  flushed(recoveryPoint: number): void {
    assert(recoveryPoint >= this.recoveryPoint, 'recovery point went back')
    this.recoveryPoint = recoveryPoint
    this.#flush()
  }

  /** A sync of the journal has succeeded that proves the records of a range. */
  journaled(fromOffset: number, endOffset: number): void {
    if (fromOffset !== this.#journaledEnd) this.#journaledFrom = fromOffset
    this.#journaledEnd = endOffset
    this.#flush()
  }

  #flush(): void {
    const isJournaled = this.#journaledFrom <= this.recoveryPoint
    const proven = Math.max(this.recoveryPoint, isJournaled ? this.#journaledEnd : 0)
    if (proven > this.flushedEnd) this.flushedEnd = proven
    if (this.flushedEnd > this.highWatermark) this.highWatermark = this.flushedEnd
    this.#check()
  }

  /** Clients see nothing below `logStart` any more: retention or DeleteRecords, once that is durable. */
  logStartMoved(logStart: number): void {
    assert(logStart >= this.logStart, 'log start went back')
    this.logStart = logStart
    this.#check()
  }

  /** The flush policy changed. What was readable stays readable. */
  setReadableUnflushed(readableUnflushed: boolean): void {
    this.#readableUnflushed = readableUnflushed
    if (readableUnflushed) this.highWatermark = this.logEnd
  }

  #check(): void {
    assert(
      this.logStart <= this.highWatermark &&
        this.highWatermark <= this.logEnd &&
        this.recoveryPoint <= this.flushedEnd &&
        this.flushedEnd <= this.logEnd,
      'log offsets out of order',
    )
  }
}
