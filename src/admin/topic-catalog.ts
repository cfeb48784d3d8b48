/**
 * The topic records as they shall be on disk, and their saving: many changes that come together are saved once.
 * Dispatcher thread.
 */
import { collisionKey } from '../topics/topic-names.ts'
import type { TopicRecord, TopicStore } from '../topics/topic-store.ts'

export class TopicCatalog {
  readonly #store: TopicStore
  readonly #records = new Map<string, TopicRecord>()
  /** Collision key → names with it. */
  readonly #byKey = new Map<string, string>()
  #partitionCount = 0
  #running: Promise<void> = Promise.resolve()
  #waiting: Promise<void> | null = null

  constructor(store: TopicStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    for (const record of await this.#store.load()) this.put(record)
  }

  get(name: string): TopicRecord | undefined {
    return this.#records.get(name)
  }

  all(): TopicRecord[] {
    return [...this.#records.values()]
  }

  /** Of all topics, those being created and deleted too. */
  get partitionCount(): number {
    return this.#partitionCount
  }

  /** Another topic whose name differs only in `.` and `_`, or null. */
  colliding(name: string): string | null {
    const other = this.#byKey.get(collisionKey(name))
    return other === undefined || other === name ? null : other
  }

  put(record: TopicRecord): void {
    this.#partitionCount += record.partitions - (this.#records.get(record.name)?.partitions ?? 0)
    this.#records.set(record.name, record)
    this.#byKey.set(collisionKey(record.name), record.name)
  }

  drop(name: string): void {
    this.#partitionCount -= this.#records.get(name)?.partitions ?? 0
    this.#records.delete(name)
    this.#byKey.delete(collisionKey(name))
  }

  /** Durable with all changes made before the call. Calls that wait for the same save share it. */
  save(): Promise<void> {
    this.#waiting ??= this.#running.then(() => {
      this.#waiting = null
      const saving = this.#store.save(this.all())
      this.#running = saving.catch(() => {})
      return saving
    })
    return this.#waiting
  }
}
