/** A LogBackend in memory: records are kept as they came; a test can hold answers back and refuse room. */
import {
  type Acks,
  type IncomingRecord,
  isRefusal,
  type LogBackend,
  type ProduceSink,
  type RecordSource,
  type Refusal,
  type TopicView,
} from '../../src/http/backend/log-backend.ts'
import { Errors } from '../../src/protocol/errors.ts'

export interface StoredRecord {
  readonly key: string | null
  readonly value: string | null
}

interface StoredTopic extends TopicView {
  readonly partitions: StoredRecord[][]
}

export class MemoryBackend implements LogBackend {
  readonly #topics = new Map<string, StoredTopic>()
  readonly #waiting = new Set<() => void>()
  /** Outcomes that are told once `isHeld` is false. */
  #outcomes: (() => void)[] = []
  #isHeld = false
  /** Topics are made on demand. */
  autoCreate = true
  hasRoom = true
  flushed = true
  /** What the next appends end with. */
  errorCode: number = Errors.NONE
  appends = 0

  addTopic(name: string, partitionCount = 1, isInternal = false): void {
    const partitions = Array.from({ length: partitionCount }, (): StoredRecord[] => [])
    const configs = (): Record<string, string> => ({})
    this.#topics.set(name, { name, id: name, isInternal, partitionCount, partitions, configs })
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name)
  }

  records(topic: string, partition = 0): readonly StoredRecord[] {
    return this.#topics.get(topic)?.partitions[partition] ?? []
  }

  values(topic: string, partition = 0): (string | null)[] {
    return this.records(topic, partition).map(record => record.value)
  }

  /** Answers wait until `release`. */
  hold(): void {
    this.#isHeld = true
  }

  /** Tells what was held back; the last first, if `order` says so. */
  release(order: 'in order' | 'reversed' = 'in order'): void {
    this.#isHeld = false
    const outcomes = order === 'reversed' ? this.#outcomes.toReversed() : this.#outcomes
    this.#outcomes = []
    for (const outcome of outcomes) outcome()
  }

  get heldCount(): number {
    return this.#outcomes.length
  }

  freeRoom(): void {
    this.hasRoom = true
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const retry of waiting) retry()
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  topics(): readonly TopicView[] {
    return [...this.#topics.values()]
  }

  topic(name: string): TopicView | null {
    return this.#topics.get(name) ?? null
  }

  async ensureTopic(name: string): Promise<TopicView | Refusal> {
    if (!this.#topics.has(name)) {
      if (!this.autoCreate) {
        return { errorCode: Errors.UNKNOWN_TOPIC_OR_PARTITION, message: `no topic ${name}` }
      }
      this.addTopic(name)
    }
    return this.#topics.get(name) as StoredTopic
  }

  partitionFor(): number {
    return 0
  }

  produce(
    topic: string,
    partition: number,
    acks: Acks,
    source: RecordSource,
    sink: ProduceSink,
    tag: number,
  ): boolean {
    if (!this.hasRoom) return false
    this.appends++
    const log = this.#topics.get(topic)?.partitions[partition]
    const code = log === undefined ? Errors.UNKNOWN_TOPIC_OR_PARTITION : this.errorCode
    if (log === undefined || code !== Errors.NONE) {
      this.#tell(() => sink.onProduced(tag, code, -1, -1, 0))
      return true
    }
    const base = log.length
    const record: IncomingRecord = { key: null, value: null, headers: [], timestampMs: -1 }
    for (let i = 0; i < source.count; i++) {
      source.next(record)
      log.push({ key: textOf(record.key), value: textOf(record.value) })
    }
    const last = log.length - 1
    const isTold = acks !== 0
    this.#tell(() => {
      sink.onProduced(tag, code, isTold ? base : -1, isTold ? last : -1, source.count)
    })
    return true
  }

  whenRoom(retry: () => void): () => void {
    this.#waiting.add(retry)
    return () => this.#waiting.delete(retry)
  }

  isFlushed(): boolean {
    return this.flushed
  }

  explain(topic: string, partition: number, errorCode: number): string {
    return `${topic}-${partition}: error ${errorCode}`
  }

  read(): Promise<never> {
    return Promise.reject(new Error('nothing is read from memory'))
  }

  offsets(topic: string, partition: number) {
    const log = this.#topics.get(topic)?.partitions[partition]
    return log === undefined ? null : { logStart: 0, highWatermark: log.length, isWritable: true }
  }

  async offsetForTime(topic: string): Promise<number | Refusal> {
    const found = await this.ensureTopic(topic)
    return isRefusal(found) ? found : 0
  }

  watch(): () => void {
    return () => {}
  }

  #tell(outcome: () => void): void {
    if (this.#isHeld) this.#outcomes.push(outcome)
    else setImmediate(outcome)
  }
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('latin1')
}
