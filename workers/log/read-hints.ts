/**
 * Where the last readers of one log stopped: they usually come back for the next byte, and need no index for it. Owner
 * thread only.
 */
import type { Segment } from './segment.ts'

/** Readers at more different places than this ask the index now and then. */
const HINTS = 16

export class ReadHints {
  readonly #offsets = new Float64Array(HINTS).fill(-1)
  readonly #positions = new Float64Array(HINTS)
  readonly #segments: (Segment | null)[] = new Array(HINTS).fill(null)
  #oldest = 0

  remember(offset: number, segment: Segment, position: number): void {
    let slot = this.#offsets.indexOf(offset)
    if (slot === -1) {
      slot = this.#oldest
      this.#oldest = (slot + 1) % HINTS
    }
    this.#offsets[slot] = offset
    this.#positions[slot] = position
    this.#segments[slot] = segment
  }

  /** -1 when nobody stopped there. */
  positionOf(offset: number, segment: Segment): number {
    const slot = this.#offsets.indexOf(offset)
    return slot >= 0 && this.#segments[slot] === segment ? this.#positions[slot] : -1
  }
}
