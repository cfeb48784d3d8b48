/** The topics that requests of the hot path name, found by the bytes of the path. Dispatcher thread. */
import type { LogBackend } from '../backend/log-backend.ts'
import type { AnswerTemplate } from './fast-answers.ts'

export class FastTopic {
  readonly name: string
  partitionCount = 0
  isInternal = false
  /** Whether acks=all means flushed. */
  isFlushed = false
  /** Look it up again when this is not the look-up of now. */
  checkedTurn = -1
  /** The last answer, by partition. */
  readonly templates: (AnswerTemplate | undefined)[] = []

  constructor(name: string) {
    this.name = name
  }
}

export class FastTopics {
  readonly #backend: LogBackend
  readonly #byName = new Map<string, FastTopic>()

  constructor(backend: LogBackend) {
    this.#backend = backend
  }

  /** @returns null when there is none */
  find(name: string, turn: number): FastTopic | null {
    const known = this.#byName.get(name)
    const topic = known ?? new FastTopic(name)
    if (!this.isThere(topic, turn)) return null
    if (known === undefined) this.#byName.set(name, topic)
    return topic
  }

  /** Looks, at most once a turn, whether it is still there, and what it is like. */
  isThere(topic: FastTopic, turn: number): boolean {
    if (topic.checkedTurn === turn) return true
    const view = this.#backend.topic(topic.name)
    if (view === null) {
      this.#byName.delete(topic.name)
      topic.checkedTurn = -1
      return false
    }
    topic.checkedTurn = turn
    topic.partitionCount = view.partitionCount
    topic.isInternal = view.isInternal
    topic.isFlushed = this.#backend.isFlushed(topic.name)
    return true
  }
}
