/**
 * The deadlines of one connection, looked at about once a second. Dispatcher thread.
 *
 *   frame     one that has begun must go on: neither silence nor a trickle (slowloris) may hold memory for long
 *   answers   some of what was written must have left, however slowly
 *   idle      nothing arrives at all
 */

/** A frame in the making gets this much at least, averaged over the stall time. */
const frameBytesPerSecondMin = 1024

export class StallWatch {
  lastReadMs: number
  /** Whole frames taken so far. */
  frames = 0
  #windowFrames = 0
  #windowSinceMs: number
  #windowBytes = 0
  #takenBytes = 0
  #takenMs: number

  constructor(nowMs: number) {
    this.lastReadMs = nowMs
    this.#windowSinceMs = nowMs
    this.#takenMs = nowMs
  }

  /** @param pendingBytes received of the frame in the making; 0 while it is us who do not read */
  isFrameStalled(nowMs: number, pendingBytes: number, stallMs: number): boolean {
    if (pendingBytes === 0 || this.frames !== this.#windowFrames) {
      this.#startWindow(nowMs, pendingBytes)
      return false
    }
    if (nowMs - this.lastReadMs > stallMs) return true
    const elapsedMs = nowMs - this.#windowSinceMs
    if (elapsedMs < stallMs) return false
    const bytes = pendingBytes - this.#windowBytes
    if (bytes * 1000 < elapsedMs * frameBytesPerSecondMin) return true
    this.#startWindow(nowMs, pendingBytes)
    return false
  }

  /**
   * @param backlogBytes written and not taken by the peer's side yet
   * @param takenBytes taken since the connection began
   */
  isTakingNothing(
    nowMs: number,
    backlogBytes: number,
    takenBytes: number,
    stallMs: number,
  ): boolean {
    if (backlogBytes === 0 || takenBytes !== this.#takenBytes) this.#takenMs = nowMs
    this.#takenBytes = takenBytes
    return nowMs - this.#takenMs > stallMs
  }

  #startWindow(nowMs: number, pendingBytes: number): void {
    this.#windowFrames = this.frames
    this.#windowSinceMs = nowMs
    this.#windowBytes = pendingBytes
  }
}
