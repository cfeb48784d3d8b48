/**
 * Changes of committed offsets that the store has been given and that are not decided yet: each will be durable, or
 * never, and until then nobody knows. A deletion that looked at memory alone would miss them, and what it was to take
 * away would come up behind it. Dispatcher thread.
 */
import type { CommittedOffset, OffsetRow } from './types.ts'

type Change = readonly OffsetRow[]

export class ChangesUnderWay {
  /** In the order in which the store writes them. */
  readonly #byGroup = new Map<string, Set<Change>>()

  /** @returns what is called when the change is decided */
  begin(groupId: string, change: Change): () => void {
    let changes = this.#byGroup.get(groupId)
    if (changes === undefined) {
      changes = new Set()
      this.#byGroup.set(groupId, changes)
    }
    const all = changes.add(change)
    return () => {
      all.delete(change)
      if (all.size === 0 && this.#byGroup.get(groupId) === all) this.#byGroup.delete(groupId)
    }
  }

  has(groupId: string): boolean {
    return this.#byGroup.has(groupId)
  }

  get groupIds(): Iterable<string> {
    return this.#byGroup.keys()
  }

  get groupCount(): number {
    return this.#byGroup.size
  }

  /** The last of them about each partition, by topic; null: it is taken away. */
  lastWords(groupId: string): Map<string, Map<number, CommittedOffset | null>> {
    const topics = new Map<string, Map<number, CommittedOffset | null>>()
    for (const { topic, partition, offset } of this.#rows(groupId)) {
      const partitions = topics.get(topic) ?? new Map()
      topics.set(topic, partitions.set(partition, offset))
    }
    return topics
  }

  /** All that may become durable of one topic, what is overtaken by others among them included. */
  *offsetsOf(groupId: string, topic: string): Iterable<CommittedOffset> {
    for (const row of this.#rows(groupId)) {
      if (row.topic === topic && row.offset !== null) yield row.offset
    }
  }

  /** Oldest first. */
  *#rows(groupId: string): Iterable<OffsetRow> {
    for (const change of this.#byGroup.get(groupId) ?? []) yield* change
  }
}
