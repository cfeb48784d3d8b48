/**
 * Which logs of one owner sync at the same time: as many as libuv's pool can really run, the others wait here, first
 * come first served. A round takes its target when it starts, so a log that waits here still takes in what is appended
 * meanwhile; in the pool's own queue its target would be fixed, and the next round would have to prove the rest.
 *
 *   dirty -> waiting -> turn: round starts, target taken -> fdatasync -> leave, next one's turn
 *
 * Owner thread only, one per owner.
 */
export class FlushTurns {
  readonly #turnsMax: number
  readonly #waiting: (() => void)[] = []
  #taken = 0

  constructor(turnsMax: number) {
    this.#turnsMax = turnsMax
  }

  /** Calls `start` when it is its turn, at once if there is room. Who was started must `leave` once. */
  ask(start: () => void): void {
    if (this.#taken === this.#turnsMax) {
      this.#waiting.push(start)
      return
    }
    this.#taken++
    start()
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken--
    else next()
  }
}
