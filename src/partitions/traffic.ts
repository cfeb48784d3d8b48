/**
 * What went into and out of each partition since the start, for people who look at rates: plain counters by slot that
 * only ever grow, whoever has the slot. Dispatcher thread; counting is an addition, looking costs nothing until it is
 * done (src/admin/status-sampler.ts). Records that came in are not counted: offsets tell them.
 */
export class Traffic {
  /** Bytes of batches that were appended, as stored. */
  readonly bytesIn: Float64Array
  /** Records, and bytes of batches, that were read to be sent: to consumers, and once for all readers of a tail. */
  readonly recordsOut: Float64Array
  readonly bytesOut: Float64Array

  constructor(slots: number) {
    this.bytesIn = new Float64Array(slots)
    this.recordsOut = new Float64Array(slots)
    this.bytesOut = new Float64Array(slots)
  }

  appended(slot: number, bytes: number): void {
    this.bytesIn[slot] += bytes
  }

  fetched(slot: number, records: number, bytes: number): void {
    this.recordsOut[slot] += records
    this.bytesOut[slot] += bytes
  }
}
