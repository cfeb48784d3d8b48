/**
 * Who may open a connection: so many at all, so many from one address, so many a second. Dispatcher thread. It counts
 * and decides; sockets are the listener's.
 *
 *   too many open            closed at once: who waits for a place would wait for somebody else to leave
 *   too many in this second  waits for its turn, as in Kafka: after a storm of reconnects everybody gets in
 */

export interface GateLimits {
  readonly connectionsMax: number
  /** Infinity: none. */
  readonly connectionsPerIpMax: number
  readonly connectionsPerSecondMax: number
}

/** Why somebody is turned away, or how long it waits. */
export type Admission = { readonly refusal: string } | { readonly waitMs: number }

/** So much of the rate may come at once. */
const burstMs = 1000

export class ConnectionGate {
  readonly #limits: GateLimits
  readonly #byAddress = new Map<string, number>()
  /** When the next one would come if all came evenly. */
  #nextMs = 0
  #open = 0

  constructor(limits: GateLimits) {
    this.#limits = limits
  }

  /** Those that wait included. */
  get openCount(): number {
    return this.#open
  }

  /** Counts one from `address` as open unless it is refused; `left` undoes it. */
  enter(address: string, nowMs: number): Admission {
    const { connectionsMax, connectionsPerIpMax, connectionsPerSecondMax } = this.#limits
    if (this.#open >= connectionsMax) {
      return { refusal: `${connectionsMax} connections are open (max.connections, ulimit -n)` }
    }
    const fromThere = this.#byAddress.get(address) ?? 0
    if (fromThere >= connectionsPerIpMax) {
      return { refusal: `it has ${fromThere} connections open (max.connections.per.ip)` }
    }
    this.#open++
    this.#byAddress.set(address, fromThere + 1)
    if (connectionsPerSecondMax === Number.POSITIVE_INFINITY) return { waitMs: 0 }
    const turnMs = Math.max(this.#nextMs, nowMs - burstMs) + 1000 / connectionsPerSecondMax
    this.#nextMs = turnMs
    return { waitMs: Math.max(0, turnMs - nowMs) }
  }

  left(address: string): void {
    this.#open--
    const fromThere = this.#byAddress.get(address) ?? 0
    if (fromThere > 1) this.#byAddress.set(address, fromThere - 1)
    else this.#byAddress.delete(address)
  }
}
