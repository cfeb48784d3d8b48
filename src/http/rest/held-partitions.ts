/**
 * The partitions that a consumer instance reads now, and how far: bookkeeping, no reading. Dispatcher thread.
 *
 *   committed ≤ acked ≤ position        acked     given out by calls before the last one: the client has asked for more
 *                                       position  where the next call goes on
 */
import type { Assignment } from '../../client/group-protocol.ts'
import type { CommitRow } from '../backend/group-backend.ts'

export interface Held {
  readonly topic: string
  readonly partition: number
  /** -1: not known yet. */
  position: number
  acked: number
  committed: number
}

export class HeldPartitions {
  #held = new Map<string, Held>()

  get size(): number {
    return this.#held.size
  }

  values(): IterableIterator<Held> {
    return this.#held.values()
  }

  get(topic: string, partition: number): Held | undefined {
    return this.#held.get(nameOf(topic, partition))
  }

  /** @param isKept what was held already has been ours all the time and goes on where it is */
  replace(assignment: Assignment, isKept: boolean): void {
    const held = new Map<string, Held>()
    for (const [topic, partitions] of assignment) {
      for (const partition of partitions) {
        const name = nameOf(topic, partition)
        const known = isKept ? this.#held.get(name) : undefined
        held.set(name, known ?? { topic, partition, position: -1, acked: -1, committed: -1 })
      }
    }
    this.#held = held
  }

  clear(): void {
    this.#held = new Map()
  }

  /** The client asks for more: what it has been given is done with. */
  acknowledge(): void {
    for (const held of this.#held.values()) held.acked = held.position
  }

  /** What is known to be done with and not committed yet. */
  ackedRows(): CommitRow[] {
    return this.#rows(({ acked, committed }) => (acked > committed ? acked : -1))
  }

  /** How far records were given out. */
  positionRows(): CommitRow[] {
    return this.#rows(({ position }) => position)
  }

  committed(rows: readonly CommitRow[]): void {
    for (const { topic, partition, offset } of rows) {
      const held = this.get(topic, partition)
      if (held !== undefined) held.committed = offset
    }
  }

  #rows(offsetOf: (held: Held) => number): CommitRow[] {
    const rows: CommitRow[] = []
    for (const held of this.#held.values()) {
      const offset = offsetOf(held)
      const { topic, partition } = held
      if (offset >= 0) rows.push({ topic, partition, offset, metadata: '' })
    }
    return rows
  }
}

const nameOf = (topic: string, partition: number): string => `${topic}-${partition}`
