/** Answers that peers have not taken yet, of all connections together. Dispatcher thread. */
export interface BacklogLimits {
  readonly connectionBacklogBytesMax: number
  /** Of all connections together. */
  readonly backlogBytesMax: number
}

export class Backlog {
  /** As of each connection's last look. */
  bytes = 0
  readonly #limits: BacklogLimits

  constructor(limits: BacklogLimits) {
    this.#limits = limits
  }

  /**
   * Whether a connection that owes its peer so much gets no further requests done: above its own limit, and above that
   * of all together, which only those reach who are behind.
   */
  isTooMuch(bytes: number): boolean {
    const { connectionBacklogBytesMax, backlogBytesMax } = this.#limits
    return bytes > connectionBacklogBytesMax || this.bytes > backlogBytesMax
  }
}
