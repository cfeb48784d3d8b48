/** How far one partition has been fetched, and what a fetch brought. Plain state; fetcher.ts moves it. */

/** The records of one partition out of one answer. */
export interface FetchedPartition {
  readonly partition: number
  /** Whole batches, perhaps a cut one at the end. */
  readonly records: Buffer
  /** Records below are not the reader's: a batch comes whole even when reading starts inside it. */
  readonly fromOffset: number
  /** Nor are records from here on. */
  readonly untilOffset: number
  /** Where reading goes on after it: beyond the last record where the last ones are gone or not for readers. */
  readonly nextOffset: number
}

export class PartitionReader {
  readonly index: number
  leader: number
  /** The next record to fetch. */
  fetchOffset: number
  /** Reading ends before this offset; the largest safe integer when it does not end. */
  readonly untilOffset: number
  /** Grows when a broker says that not even one batch fits. */
  maxBytes: number
  /** Attempts that failed since the last success, and since when. */
  failures = 0
  failingSinceMs = 0
  notBeforeMs = 0

  constructor(
    index: number,
    leader: number,
    fetchOffset: number,
    untilOffset: number,
    maxBytes: number,
  ) {
    this.index = index
    this.leader = leader
    this.fetchOffset = fetchOffset
    this.untilOffset = untilOffset
    this.maxBytes = maxBytes
  }

  get isDone(): boolean {
    return this.fetchOffset >= this.untilOffset
  }

  succeeded(): void {
    this.failures = 0
    this.notBeforeMs = 0
  }

  /** Backs off: 50 ms, doubling up to 1 s. */
  failed(nowMs: number): void {
    if (this.failures === 0) this.failingSinceMs = nowMs
    this.notBeforeMs = nowMs + Math.min(50 * 2 ** this.failures, 1000)
    this.failures++
  }
}
