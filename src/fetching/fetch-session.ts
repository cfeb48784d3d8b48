/**
 * Fetch sessions (KIP-227): the broker remembers what a consumer fetches, so that a request names only what changed and
 * an answer holds only rows with news. Dispatcher thread.
 *
 *   request (id, epoch)   (0, -1) (id, -1)  no session, or the end of one: a full answer
 *                         (0, 0)  (id, 0)   a full answer, with the id of a new session
 *                         (id, n)           changes and forgotten partitions; rows with records, errors, moved offsets
 *
 * Bounded: sessions, and partitions in all of them. When there is no room, and no session has been idle for two
 * minutes, a consumer goes on without: id 0 in the answer is that.
 */
import { randomInt } from 'node:crypto'
import type { FetchResponse } from '../apis/fetch.ts'
import type { Clock } from '../contracts/clock.ts'
import { Errors } from '../protocol/errors.ts'
import {
  type FetchPartition,
  type FetchRequest,
  type FetchTopic,
  topicIdVersion,
} from '../protocol/fetch-request.ts'
import type { ResponseRow } from './fetch-row.ts'

const initialEpoch = 0
const finalEpoch = -1
const epochMax = 0x7fff_ffff
/** A session idle for longer may be ended for another's sake; Kafka's default. */
const idleMs = 120_000
/** In all sessions; about 100 bytes each. */
const partitionsMaxDefault = 200_000

/** What one fetch looks at, and what becomes of its answer. */
export interface FetchContext {
  /** In the order in which they are served. */
  readonly topics: readonly FetchTopic[]
  /** The answer is complete: gives it its session id and leaves out rows without news. */
  finish(response: FetchResponse): void
}

interface Entry {
  readonly key: string
  readonly topic: string
  readonly topicId: string
  row: FetchPartition
  /** As last answered; -1 when that was an error, so that the next answer is news. */
  highWatermark: number
  logStartOffset: number
}

interface Session {
  readonly id: number
  readonly hasTopicIds: boolean
  /** Of the next request. */
  epoch: number
  /** In the order in which they are served next. */
  readonly entries: Map<string, Entry>
  usedMs: number
}

export class FetchSessions {
  readonly #clock: Clock
  readonly #sessionsMax: number
  readonly #partitionsMax: number
  /** Least recently used first. */
  readonly #sessions = new Map<number, Session>()
  #partitions = 0

  constructor(clock: Clock, sessionsMax: number, partitionsMax = partitionsMaxDefault) {
    this.#clock = clock
    this.#sessionsMax = sessionsMax
    this.#partitionsMax = partitionsMax
  }

  /** Sessions, and partitions in them. */
  get size(): { readonly sessions: number; readonly partitions: number } {
    return { sessions: this.#sessions.size, partitions: this.#partitions }
  }

  /** What `request` is to look at, or an `Errors` code for the whole answer. */
  begin(request: FetchRequest, apiVersion: number): FetchContext | number {
    const { sessionId, sessionEpoch, topics } = request
    const hasTopicIds = apiVersion >= topicIdVersion
    if (sessionEpoch === initialEpoch || sessionEpoch === finalEpoch) {
      this.#remove(sessionId)
      if (sessionEpoch === finalEpoch) return { topics, finish: () => {} }
      return { topics, finish: response => this.#create(topics, hasTopicIds, response) }
    }
    const session = this.#sessions.get(sessionId)
    if (session === undefined) return Errors.FETCH_SESSION_ID_NOT_FOUND
    if (session.epoch !== sessionEpoch) return Errors.INVALID_FETCH_SESSION_EPOCH
    if (session.hasTopicIds !== hasTopicIds) return Errors.FETCH_SESSION_TOPIC_ID_ERROR
    return this.#continue(session, request)
  }

  #continue(session: Session, request: FetchRequest): FetchContext {
    session.epoch = session.epoch === epochMax ? 1 : session.epoch + 1
    this.#touch(session)
    this.#update(session, request)
    if (session.entries.size === 0) {
      this.#remove(session.id)
      return { topics: [], finish: () => {} }
    }
    const entries = [...session.entries.values()]
    return {
      topics: topicsOf(entries),
      finish: response => {
        response.sessionId = session.id
        keepNews(session, entries, response)
      },
    }
  }

  #update({ entries }: Session, { topics, forgottenTopicsData }: FetchRequest): void {
    this.#partitions -= entries.size
    for (const { topic, topicId, partitions } of forgottenTopicsData) {
      for (const partition of partitions) entries.delete(keyOf(topic, topicId, partition))
    }
    for (const { topic, topicId, partitions } of topics) {
      for (const row of partitions) {
        const key = keyOf(topic, topicId, row.partition)
        const known = entries.get(key)
        if (known !== undefined) known.row = row
        else if (this.#partitions + entries.size < this.#partitionsMax) {
          entries.set(key, newEntry(key, topic, topicId, row))
        }
      }
    }
    this.#partitions += entries.size
  }

  #create(topics: readonly FetchTopic[], hasTopicIds: boolean, response: FetchResponse): void {
    const count = topics.reduce((sum, { partitions }) => sum + partitions.length, 0)
    if (count === 0 || !this.#makeRoom(count)) return
    const entries = new Map<string, Entry>()
    topics.forEach(({ topic, topicId, partitions }, at) => {
      partitions.forEach((row, index) => {
        const key = keyOf(topic, topicId, row.partition)
        const entry = newEntry(key, topic, topicId, row)
        note(entry, response.responses[at].partitions[index])
        entries.set(key, entry)
      })
    })
    const id = this.#newId()
    const usedMs = this.#clock.monotonicMs()
    this.#sessions.set(id, { id, hasTopicIds, epoch: 1, entries, usedMs })
    this.#partitions += entries.size
    response.sessionId = id
  }

  #makeRoom(partitions: number): boolean {
    if (this.#sessionsMax === 0) return false
    const idleSince = this.#clock.monotonicMs() - idleMs
    for (const { id, usedMs } of this.#sessions.values()) {
      if (this.#hasRoom(partitions) || usedMs > idleSince) break
      this.#remove(id)
    }
    return this.#hasRoom(partitions)
  }

  #hasRoom(partitions: number): boolean {
    const isCountOk = this.#sessions.size < this.#sessionsMax
    return isCountOk && this.#partitions + partitions <= this.#partitionsMax
  }

  #newId(): number {
    for (;;) {
      const id = randomInt(1, epochMax)
      if (!this.#sessions.has(id)) return id
    }
  }

  #touch(session: Session): void {
    session.usedMs = this.#clock.monotonicMs()
    this.#sessions.delete(session.id)
    this.#sessions.set(session.id, session)
  }

  #remove(id: number): void {
    this.#partitions -= this.#sessions.get(id)?.entries.size ?? 0
    this.#sessions.delete(id)
  }
}

const keyOf = (topic: string, topicId: string, partition: number): string =>
  `${topic}/${topicId}/${partition}`

function newEntry(key: string, topic: string, topicId: string, row: FetchPartition): Entry {
  return { key, topic, topicId, row, highWatermark: -1, logStartOffset: -1 }
}

/** Neighbours of one topic share a row of topics; a topic may come more than once. */
function topicsOf(entries: readonly Entry[]): FetchTopic[] {
  const topics: FetchTopic[] = []
  for (const { topic, topicId, row } of entries) {
    const last = topics.at(-1)
    if (last?.topic === topic && last.topicId === topicId) last.partitions.push(row)
    else topics.push({ topic, topicId, partitions: [row] })
  }
  return topics
}

/** Remembers what was answered; true when it is news. */
function note(entry: Entry, row: ResponseRow): boolean {
  const isError = row.errorCode !== Errors.NONE
  const highWatermark = isError ? -1 : row.highWatermark
  const hasMoved =
    highWatermark !== entry.highWatermark || row.logStartOffset !== entry.logStartOffset
  entry.highWatermark = highWatermark
  entry.logStartOffset = row.logStartOffset
  return hasMoved || isError || (row.records?.length ?? 0) > 0
}

/** Rows of the answer stand in the order of `entries`. Who was given records is served last the next time. */
function keepNews(session: Session, entries: readonly Entry[], response: FetchResponse): void {
  let at = 0
  for (const topic of response.responses) {
    topic.partitions = topic.partitions.filter(row => {
      const entry = entries[at++] as Entry
      const isNews = note(entry, row)
      if ((row.records?.length ?? 0) > 0) serveLast(session, entry)
      return isNews
    })
  }
  response.responses = response.responses.filter(({ partitions }) => partitions.length > 0)
}

function serveLast({ entries }: Session, entry: Entry): void {
  if (entries.get(entry.key) !== entry) return
  entries.delete(entry.key)
  entries.set(entry.key, entry)
}
