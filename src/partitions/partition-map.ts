/**
 * Which owner thread gets which partition. Round-robin over all partitions in order of their opening, so that topics
 * of one partition spread as evenly as one topic of many. Dispatcher thread.
 */
import assert from 'node:assert/strict'

export class PartitionMap {
  readonly #ownerCount: number
  /** Topic → owner index by partition index. */
  readonly #owners = new Map<string, number[]>()
  readonly #loads: number[]
  #turn = 0

  constructor(ownerCount: number) {
    assert(Number.isInteger(ownerCount) && ownerCount > 0)
    this.#ownerCount = ownerCount
    this.#loads = Array.from({ length: ownerCount }, () => 0)
  }

  /** Gives a new partition its owner; partitions of a topic come in index order. Returns the owner's index. */
  place(topic: string, index: number): number {
    const owners = this.#owners.get(topic) ?? []
    assert.equal(index, owners.length, `partitions of ${topic} are placed in order`)
    const owner = this.#turn
    this.#turn = (this.#turn + 1) % this.#ownerCount
    owners.push(owner)
    this.#owners.set(topic, owners)
    this.#loads[owner]++
    return owner
  }

  /** Undefined for a partition that was never placed. */
  ownerOf(topic: string, index: number): number | undefined {
    return this.#owners.get(topic)?.[index]
  }

  /** Forgets a topic's partitions. */
  remove(topic: string): void {
    for (const owner of this.#owners.get(topic) ?? []) this.#loads[owner]--
    this.#owners.delete(topic)
  }

  /** Partitions per owner, by owner index. */
  loads(): readonly number[] {
    return this.#loads
  }
}
