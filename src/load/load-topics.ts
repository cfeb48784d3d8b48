/**
 * The topics of a load on a broker that others may use, too: made for it, named so that anybody sees whose they are,
 * and gone at the end, whatever happened.
 */
import { randomBytes } from 'node:crypto'
import type { Address } from '../client/address.ts'
import type { Admin } from '../client/admin.ts'
import { sleep } from '../client/cluster.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'

export const loadTopicPrefix = 'odradek-bench-'

/** Records of acks 0 and 1 become readable when they are flushed: at the latest after the topic's flush.ms. */
const endWaitMs = 15_000
const lookMs = 50
/** By then a broker has read what a killed generator had sent, and made its topic anew if it was deleted already. */
const straggleMs = 300

export interface LoadTopic {
  readonly name: string
  readonly partitionCount: number
  /** The one broker that leads all of it. */
  readonly leader: Address
}

export class LoadTopics {
  readonly #admin: Admin
  readonly #names = new Set<string>()

  constructor(admin: Admin) {
    this.#admin = admin
  }

  /** Names of those that are there. */
  get names(): string[] {
    return [...this.#names]
  }

  /** @throws KafkaError when the broker refuses, Error when several brokers share the partitions */
  async create(
    what: string,
    partitionCount: number,
    configs: ReadonlyMap<string, string> = new Map(),
  ): Promise<LoadTopic> {
    const name = `${loadTopicPrefix}${what}-${randomBytes(4).toString('hex')}`
    // Before it exists: a creation that is interrupted may have happened.
    this.#names.add(name)
    await this.#admin.createTopic({ name, partitions: partitionCount, configs })
    return { name, partitionCount, leader: await this.#leaderOf(name) }
  }

  /**
   * Waits until the topic ends where it must.
   * @param records that were acknowledged, by all of its partitions together
   * @throws Error when it holds more, or still fewer after 15 s: then no figure of that load means anything
   */
  async expectRecords({ name }: LoadTopic, records: number): Promise<void> {
    const deadlineMs = performance.now() + endWaitMs
    for (;;) {
      const ends = await this.#admin.endOffsets(name)
      const held = ends.reduce<number>((sum, end) => sum + (end ?? Number.NaN), 0)
      if (held === records) return
      if (held > records || performance.now() > deadlineMs) {
        throw new Error(`${records} records were acknowledged, topic ${name} holds ${held}`)
      }
      await sleep(lookMs)
    }
  }

  /** Where each partition ends. */
  async endsOf({ name }: LoadTopic): Promise<number[]> {
    return (await this.#admin.endOffsets(name)).map(end => end ?? 0)
  }

  /** Deletes one, or all that are there. After a failure also what a generator's last requests bring back. */
  async remove({ afterFailure = false, topic }: RemoveOptions = {}): Promise<void> {
    const names = topic === undefined ? this.names : [topic.name]
    for (const name of names) await this.#delete(name)
    if (afterFailure && names.length > 0) {
      await sleep(straggleMs)
      const present = new Set((await this.#admin.listTopics()).map(({ name }) => name))
      for (const name of names) if (present.has(name)) await this.#delete(name)
    }
    for (const name of names) this.#names.delete(name)
  }

  async #delete(name: string): Promise<void> {
    try {
      await this.#admin.deleteTopic(name)
    } catch (error) {
      const isGone = error instanceof KafkaError && error.code === Errors.UNKNOWN_TOPIC_OR_PARTITION
      if (!isGone) throw error
    }
  }

  /** A new topic may be without leaders for a moment. */
  async #leaderOf(name: string): Promise<Address> {
    const deadlineMs = performance.now() + endWaitMs
    for (;;) {
      const leaders = await this.#admin.leaders(name).catch((error): (Address | null)[] => {
        if (performance.now() > deadlineMs) throw error
        return []
      })
      const [first] = leaders
      if (first !== null && first !== undefined && !leaders.includes(null)) {
        if (leaders.every(other => other!.host === first.host && other!.port === first.port)) {
          return first
        }
        throw new Error('several brokers share the partitions: give --partitions 1')
      }
      if (performance.now() > deadlineMs) throw new Error(`topic ${name} has no leader`)
      await sleep(lookMs)
    }
  }
}

interface RemoveOptions {
  readonly afterFailure?: boolean
  /** Only this one. */
  readonly topic?: LoadTopic
}
