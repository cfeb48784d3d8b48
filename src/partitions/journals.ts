/**
 * The owners' journals as the partition host sees them: replayed before any log is opened, and used only while nobody
 * needs what they held before. Dispatcher thread.
 *
 *   start         replay (task) → logs open → owners may use theirs
 *   owner died    its logs sync what only the old journal proved → all of them online → the new thread may use it
 */
import { join } from 'node:path'
import { type FlushedEnd, flushedEndKey } from '../contracts/flushed-ends.ts'
import type { LogPlace } from '../contracts/journal.ts'
import type { Logger } from '../log.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import type { Owner } from './owner.ts'
import type { OwnerTasks } from './owner-tasks.ts'
import type { TopicPlaces } from './partition.ts'

export interface JournalsOptions {
  readonly dataDirectory: string
  readonly ownerCount: number
  readonly owners: readonly Owner[]
  readonly tasks: OwnerTasks
  readonly log: Logger
  /** 0 for no journals. */
  readonly journalBytes: number
  /** All logs that an owner has are online. */
  isWhole(ownerIndex: number): boolean
}

export class Journals {
  readonly #options: JournalsOptions
  /** By directory: what the journals hold of these logs could not be put into their segments. */
  readonly #unreplayed = new Map<string, string>()
  /** Owners that died: logs of theirs may need what the journal holds. */
  readonly #died = new Set<number>()
  #isOpen = false
  /** What the files hold is needed at the next start. */
  #isKept = false

  constructor(options: JournalsOptions) {
    this.#options = options
  }

  get isEnabled(): boolean {
    return this.#options.journalBytes > 0
  }

  /**
   * Puts what the journals prove into the segments, and notes in `ends` up to where logs are whole on disk. Rejects
   * when a journal cannot be read: nothing may be opened then.
   */
  async replay(
    isClean: boolean,
    topics: readonly TopicPlaces[],
    ends: Map<string, FlushedEnd>,
  ): Promise<void> {
    const places = topics.flatMap(topic => placesOf(this.#options.dataDirectory, topic))
    const { dataDirectory, tasks, log } = this.#options
    const ownerCount = this.isEnabled ? this.#options.ownerCount : 0
    const input = { dataDirectory, ownerCount, isClean, places }
    const { logs, rounds, writtenBytes, failed } = await tasks
      .replayJournals(input)
      .catch((error: Error) => {
        const what = `the journals in ${dataDirectory} cannot be replayed: ${error.message}`
        throw new Error(what, { cause: error })
      })
    if (writtenBytes > 0) log.warn({ rounds, writtenBytes }, 'records came back from the journal')
    for (const { directory, reason } of failed) {
      const why = `its records in the journal could not be written to its segments: ${reason}`
      this.#unreplayed.set(directory, why)
    }
    this.#isKept = failed.length > 0
    if (this.#isKept) {
      log.error({ partitions: failed.length }, 'journals are kept and not used until a restart')
    }
    const byDirectory = new Map(places.map(place => [place.directory, place]))
    for (const { directory, endOffset } of logs) {
      const { topicId, partition } = byDirectory.get(directory) as LogPlace
      const key = flushedEndKey(topicId, partition)
      const { flushedEnd, logStart } = ends.get(key) ?? { flushedEnd: 0, logStart: 0 }
      ends.set(key, { topicId, partition, flushedEnd: Math.max(endOffset, flushedEnd), logStart })
    }
  }

  /** Why a log must not be opened; null when it may. */
  refusalOf(directory: string): string | null {
    return this.#unreplayed.get(directory) ?? null
  }

  /** The log there is deleted. */
  forget(directory: string): void {
    this.#unreplayed.delete(directory)
  }

  /** All logs of the start are open, or known not to be: the segments hold what the journals did. */
  opened(): void {
    this.#isOpen = true
    for (const { index } of this.#options.owners) {
      if (this.#died.has(index)) this.settled(index)
      else this.#allow(index)
    }
  }

  ownerDied(index: number): void {
    this.#died.add(index)
  }

  /** Told when a log of the owner was opened, or is gone. */
  settled(index: number): void {
    if (!this.#isOpen || !this.#died.has(index) || !this.#options.isWhole(index)) return
    this.#died.delete(index)
    this.#allow(index)
  }

  #allow(index: number): void {
    if (!this.isEnabled || this.#isKept) return
    // One that dies over it is told again.
    void this.#options.owners[index].call(control => control.startJournal()).catch(() => null)
  }
}

function placesOf(dataDirectory: string, { name, id, partitions }: TopicPlaces): LogPlace[] {
  return Array.from({ length: partitions }, (_, partition) => {
    const directory = join(dataDirectory, partitionDirectoryName(name, partition))
    return { directory, topicId: id, partition }
  })
}
