/**
 * The four offsets of one log and the only place that moves them. Owner thread only.
 *
 *     logStart <= highWatermark <= logEnd          recoveryPoint <= logEnd
 *        |            |              |
 *     ---[============|--------------)             records; [ readable )  - appended, not yet readable
 *                     F = recoveryPoint            under `group-commit` and `interval` the high watermark is F;
 *                                                  under `os` it is logEnd
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
  /** Flushed end: file bytes and directory entries of everything below are synced. */
  recoveryPoint: number
  #readableUnflushed: boolean

  /** A log that has just been opened; nothing says that bytes from `recoveryPoint` on are on disk. */
  constructor(
    logStart: number,
    logEnd: number,
    readableUnflushed: boolean,
    recoveryPoint: number = logEnd,
  ) {
    this.logStart = logStart
    this.highWatermark = readableUnflushed ? logEnd : recoveryPoint
    this.logEnd = logEnd
    this.recoveryPoint = recoveryPoint
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
    if (recoveryPoint > this.highWatermark) this.highWatermark = recoveryPoint
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
        this.recoveryPoint <= this.logEnd,
      'log offsets out of order',
    )
  }
}
