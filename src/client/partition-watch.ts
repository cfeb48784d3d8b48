/** The leader of a group looks now and then whether the group's topics have other partitions than it assigned. */
import { Errors } from '../protocol/errors.ts'
import { type Cluster, topicError } from './cluster.ts'

/** Topic -> number of partitions, 0 for topics that do not exist. */
export async function partitionCounts(
  cluster: Cluster,
  topics: ReadonlySet<string>,
): Promise<Map<string, number>> {
  const counts = new Map(Array.from(topics, topic => [topic, 0]))
  if (topics.size === 0) return counts
  const answer = await cluster.metadata([...topics])
  for (const { name, errorCode, partitions } of answer.topics) {
    if (name === null || errorCode === Errors.UNKNOWN_TOPIC_OR_PARTITION) continue
    if (errorCode !== Errors.NONE) throw topicError(errorCode, name)
    counts.set(name, partitions.length)
  }
  return counts
}

export class PartitionWatch {
  readonly #cluster: Cluster
  readonly #intervalMs: number
  readonly #onChange: (why: string) => void
  #timer: NodeJS.Timeout | null = null

  constructor(cluster: Cluster, intervalMs: number, onChange: (why: string) => void) {
    this.#cluster = cluster
    this.#intervalMs = intervalMs
    this.#onChange = onChange
  }

  /** Tells once when it is no longer so; null (of who does not lead) watches nothing. */
  start(assigned: ReadonlyMap<string, number> | null): void {
    this.stop()
    if (assigned === null) return
    const timer = setInterval(() => void this.#look(assigned, timer), this.#intervalMs)
    this.#timer = timer
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  async #look(assigned: ReadonlyMap<string, number>, timer: NodeJS.Timeout): Promise<void> {
    // A broker that is away is noticed by others; it is asked again next time.
    const counts = await partitionCounts(this.#cluster, new Set(assigned.keys())).catch(() => null)
    if (counts === null || this.#timer !== timer) return
    for (const [topic, count] of assigned) {
      const now = counts.get(topic) ?? 0
      if (now === count) continue
      this.stop()
      this.#onChange(`topic ${topic} has ${now} partitions, no longer ${count}`)
      return
    }
  }
}
