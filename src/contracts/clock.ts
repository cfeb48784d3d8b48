/** Time as the broker sees it, so that tests own it. Wall time stamps records; monotonic time drives time-outs. */
export interface Clock {
  /** Milliseconds since 1970, may jump. */
  wallMs(): number
  /** Milliseconds since an arbitrary start, never goes back. */
  monotonicMs(): number
  /** Calls `fire` once after `delayMs`; the returned function cancels. Never keeps the process alive. */
  after(delayMs: number, fire: () => void): () => void
}
