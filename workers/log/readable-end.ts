/**
 * Where in the files the high watermark is: readers get no byte behind it. Owner thread only.
 *
 * A sync of the segments and one of the journal each prove a place; the high watermark is at one of the two.
 */
import type { Segment } from './segment.ts'

export interface Place {
  readonly offset: number
  readonly segment: Segment
  readonly position: number
}

export class ReadableEnd {
  #segment: Segment
  #position: number
  /** Proven by the segments, by the journal. */
  #round: Place | null = null
  #journaled: Place | null = null

  constructor(segment: Segment, position: number) {
    this.#segment = segment
    this.#position = position
  }

  set(segment: Segment, position: number): void {
    this.#segment = segment
    this.#position = position
  }

  roundProved(place: Place, highWatermark: number): void {
    this.#round = place
    this.#moveTo(highWatermark)
  }

  journalProved(place: Place, highWatermark: number): void {
    this.#journaled = place
    this.#moveTo(highWatermark)
  }

  #moveTo(highWatermark: number): void {
    for (const place of [this.#round, this.#journaled]) {
      if (place?.offset === highWatermark) this.set(place.segment, place.position)
    }
  }

  /** Readable bytes of a segment. */
  bytesOf(segment: Segment): number {
    if (segment === this.#segment) return this.#position
    return segment.baseOffset < this.#segment.baseOffset ? segment.sizeBytes : 0
  }

  /** They end below the high watermark. */
  replaced(old: readonly Segment[], segment: Segment): void {
    if (old.includes(this.#segment)) this.set(segment, segment.sizeBytes)
  }
}
