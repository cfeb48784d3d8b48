/** Tells somebody that a partition has more to read, or has failed. Dispatcher thread. */
import type { Dispatcher, Flushable } from '../../dispatcher.ts'
import type { FetchWaiter } from '../../fetching/purgatory.ts'
import type { Partition } from '../../partitions/partition.ts'

/** Parked in the purgatory like a fetch, again and again; what moves within one turn is told once. */
export class PartitionWatch implements FetchWaiter, Flushable {
  readonly #dispatcher: Dispatcher
  readonly #slots: readonly number[]
  readonly #moved: () => void
  #isDue = false
  #isClosed = false

  constructor(dispatcher: Dispatcher, partition: Partition, moved: () => void) {
    this.#dispatcher = dispatcher
    this.#slots = [partition.slot]
    this.#moved = moved
    this.#park()
  }

  wake(): void {
    if (this.#isDue || this.#isClosed) return
    this.#isDue = true
    this.#dispatcher.flushLater(this)
  }

  flush(): void {
    this.#isDue = false
    if (this.#isClosed) return
    // Parked anew before the reader looks: an advance from here on is told again.
    this.#dispatcher.purgatory.unpark(this.#slots, this)
    this.#park()
    this.#moved()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#dispatcher.purgatory.unpark(this.#slots, this)
  }

  #park(): void {
    this.#dispatcher.purgatory.park(this.#slots, this)
  }
}
