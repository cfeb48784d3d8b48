/** Fetch sessions: a consumer with one learns what one without learns; bounds, eviction, wrong ids and epochs. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { FetchResponse } from '../../src/apis/fetch.ts'
import { newResponseRow } from '../../src/fetching/fetch-row.ts'
import { type FetchContext, FetchSessions } from '../../src/fetching/fetch-session.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  type FetchRequest,
  type FetchWish,
  fetchRequestFor,
  fetchTopic,
} from '../../src/protocol/fetch-request.ts'
import { FakeClock } from '../support/fake-clock.ts'

const byName = 12
const byId = 13
const terms = { maxWaitMs: 0, minBytes: 0, maxBytes: 1 << 20 }
const idOf = (topic: string): string => `${topic}AAAAAAAAAAAAAAAAAAAAA`

/** Partitions of topics a to c as the log sees them. */
class Logs {
  readonly ends = new Map<string, number>()
  readonly starts = new Map<string, number>()
  readonly broken = new Set<string>()

  answer({ topics }: FetchContext): FetchResponse {
    const responses = topics.map(({ topic, topicId, partitions }) => ({
      topic,
      topicId,
      partitions: partitions.map(({ partition, fetchOffset }) => {
        const key = `${topic}${partition}`
        const row = newResponseRow(partition, 0)
        if (this.broken.has(key)) return { ...row, errorCode: Errors.KAFKA_STORAGE_ERROR }
        row.highWatermark = this.ends.get(key) ?? 0
        row.logStartOffset = this.starts.get(key) ?? 0
        row.records = Buffer.alloc(Math.max(0, row.highWatermark - fetchOffset))
        return row
      }),
    }))
    return { throttleTimeMs: 0, errorCode: 0, sessionId: 0, responses, nodeEndpoints: [] }
  }
}

function ask(
  sessions: FetchSessions,
  logs: Logs,
  request: FetchRequest,
  version = byName,
): FetchResponse {
  const context = sessions.begin(request, version)
  if (typeof context === 'number') throw new Error(`code ${context}`)
  const response = logs.answer(context)
  context.finish(response)
  return response
}

const rowsOf = ({ responses }: FetchResponse): string[] =>
  responses.flatMap(({ topic, partitions }) => partitions.map(row => topic + row.partitionIndex))

function wishes(count: number, fetchOffset = 0): FetchWish[] {
  return Array.from({ length: count }, (_, partition) => ({ partition, fetchOffset, maxBytes: 10 }))
}

function begin(sessions: FetchSessions, logs: Logs, partitions: number): number {
  const request = fetchRequestFor({ ...terms, sessionEpoch: 0 }, [
    fetchTopic('a', wishes(partitions)),
  ])
  return ask(sessions, logs, request).sessionId
}

const next = (sessionId: number, sessionEpoch: number, topics = [] as FetchRequest['topics']) =>
  fetchRequestFor({ ...terms, sessionId, sessionEpoch }, topics)

describe('a session', () => {
  test('answers with what is new only', () => {
    const sessions = new FetchSessions(new FakeClock(), 10)
    const logs = new Logs()
    const id = begin(sessions, logs, 3)
    expect(id).toBeGreaterThan(0)
    expect(rowsOf(ask(sessions, logs, next(id, 1)))).toEqual([])
    logs.ends.set('a1', 5)
    const second = ask(sessions, logs, next(id, 2))
    expect(second.sessionId).toBe(id)
    expect(rowsOf(second)).toEqual(['a1'])
    // The consumer does not move: the records are there again.
    expect(rowsOf(ask(sessions, logs, next(id, 3)))).toEqual(['a1'])
    const moved = fetchTopic('a', [{ partition: 1, fetchOffset: 5, maxBytes: 10 }])
    expect(rowsOf(ask(sessions, logs, next(id, 4, [moved])))).toEqual([])
    logs.starts.set('a2', 1)
    expect(rowsOf(ask(sessions, logs, next(id, 5)))).toEqual(['a2'])
    logs.broken.add('a0')
    expect(rowsOf(ask(sessions, logs, next(id, 6)))).toEqual(['a0'])
    expect(rowsOf(ask(sessions, logs, next(id, 7))), 'an error is told every time').toEqual(['a0'])
    logs.broken.clear()
    expect(rowsOf(ask(sessions, logs, next(id, 8))), 'and its end').toEqual(['a0'])
    expect(rowsOf(ask(sessions, logs, next(id, 9)))).toEqual([])
  })

  test('serves who got records last the next time', () => {
    const sessions = new FetchSessions(new FakeClock(), 10)
    const logs = new Logs()
    const id = begin(sessions, logs, 3)
    logs.ends.set('a0', 1)
    ask(sessions, logs, next(id, 1))
    logs.ends.set('a1', 1)
    logs.ends.set('a2', 1)
    expect(rowsOf(ask(sessions, logs, next(id, 2)))).toEqual(['a1', 'a2', 'a0'])
  })

  test('forgets partitions, and ends with the last', () => {
    const sessions = new FetchSessions(new FakeClock(), 10)
    const logs = new Logs()
    const id = begin(sessions, logs, 2)
    logs.ends.set('a0', 1)
    logs.ends.set('a1', 1)
    const forget = (...partitions: number[]): FetchRequest['forgottenTopicsData'] => [
      { ...fetchTopic('a', []), partitions },
    ]
    const less = { ...next(id, 1), forgottenTopicsData: forget(0, 7) }
    expect(rowsOf(ask(sessions, logs, less))).toEqual(['a1'])
    const none = ask(sessions, logs, { ...next(id, 2), forgottenTopicsData: forget(1) })
    expect(none).toMatchObject({ sessionId: 0, responses: [] })
    expect(sessions.begin(next(id, 3), byName)).toBe(Errors.FETCH_SESSION_ID_NOT_FOUND)
    expect(sessions.size).toEqual({ sessions: 0, partitions: 0 })
  })

  test('is refused under a wrong id, epoch, or kind of topic name', () => {
    const sessions = new FetchSessions(new FakeClock(), 10)
    const id = begin(sessions, new Logs(), 1)
    expect(sessions.begin(next(id + 1, 1), byName)).toBe(Errors.FETCH_SESSION_ID_NOT_FOUND)
    expect(sessions.begin(next(0, 1), byName)).toBe(Errors.FETCH_SESSION_ID_NOT_FOUND)
    expect(sessions.begin(next(id, 2), byName)).toBe(Errors.INVALID_FETCH_SESSION_EPOCH)
    expect(sessions.begin(next(id, -2), byName)).toBe(Errors.INVALID_FETCH_SESSION_EPOCH)
    expect(sessions.begin(next(id, 1), byId)).toBe(Errors.FETCH_SESSION_TOPIC_ID_ERROR)
    expect(sessions.begin(next(id, 1), byName)).toBeTypeOf('object')
  })

  test('is ended by a final request, and by one that begins anew', () => {
    const sessions = new FetchSessions(new FakeClock(), 10)
    const logs = new Logs()
    const first = begin(sessions, logs, 2)
    const topics = [fetchTopic('a', wishes(1))]
    const second = ask(sessions, logs, next(first, 0, topics)).sessionId
    expect(second).not.toBe(first)
    expect(sessions.size).toEqual({ sessions: 1, partitions: 1 })
    const last = ask(sessions, logs, next(second, -1, topics))
    expect([last.sessionId, rowsOf(last)]).toEqual([0, ['a0']])
    expect(sessions.size).toEqual({ sessions: 0, partitions: 0 })
  })
})

describe('bounds', () => {
  test('a new session takes the place of one that has been idle for two minutes, never of another', () => {
    const clock = new FakeClock()
    const sessions = new FetchSessions(clock, 2)
    const logs = new Logs()
    const first = begin(sessions, logs, 1)
    const second = begin(sessions, logs, 1)
    expect(begin(sessions, logs, 1)).toBe(0)
    clock.advance(119_000)
    ask(sessions, logs, next(first, 1))
    clock.advance(1_000)
    expect(begin(sessions, logs, 1)).toBeGreaterThan(0)
    expect(sessions.begin(next(second, 1), byName)).toBe(Errors.FETCH_SESSION_ID_NOT_FOUND)
    expect(sessions.begin(next(first, 2), byName)).toBeTypeOf('object')
  })

  test('partitions of all sessions count', () => {
    const sessions = new FetchSessions(new FakeClock(), 10, 5)
    const logs = new Logs()
    const id = begin(sessions, logs, 3)
    expect(begin(sessions, logs, 3)).toBe(0)
    expect(begin(sessions, logs, 1)).toBeGreaterThan(0)
    const more = fetchTopic('b', wishes(1000))
    expect(rowsOf(ask(sessions, logs, next(id, 1, [more])))).toEqual(['b0'])
    expect(sessions.size.partitions).toBe(5)
  })

  test('none at all, when so configured', () => {
    expect(begin(new FetchSessions(new FakeClock(), 0), new Logs(), 1)).toBe(0)
  })
})

/** Partitions with records in an answer, and how many. */
const recordsOf = ({ responses }: FetchResponse): Map<string, number> =>
  new Map(
    responses.flatMap(({ topic, partitions }) =>
      partitions
        .map((row): [string, number] => [topic + row.partitionIndex, row.records?.length ?? 0])
        .filter(([, count]) => count > 0),
    ),
  )

const steps = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constantFrom<'append' | 'trim' | 'break' | 'mend' | 'read' | 'forget'>(
        'append',
        'trim',
        'break',
        'mend',
        'read',
        'forget',
      ),
      topic: fc.constantFrom('a', 'b', 'c'),
      at: fc.integer({ min: 0, max: 2 }),
    }),
    fc.record({ kind: fc.constant<'fetch'>('fetch') }),
  ),
  { maxLength: 80 },
)

test.each([byName, byId])(
  'version %i: what is known over a session is what a full fetch tells',
  version => {
    fc.assert(
      fc.property(steps, script => {
        const sessions = new FetchSessions(new FakeClock(), 10)
        const logs = new Logs()
        const wanted = new Map<string, { topic: string; partition: number; offset: number }>()
        const changed = new Set<string>()
        const forgotten = new Set<string>()
        const known = new Map<string, string>()
        let id = 0
        let epoch = 0
        const topicsOf = (keys: Iterable<string>): FetchRequest['topics'] =>
          [...keys].map(key => {
            const { topic, partition, offset } = wanted.get(key)!
            const name = version === byId ? idOf(topic) : undefined
            return fetchTopic(topic, [{ partition, fetchOffset: offset, maxBytes: 9 }], name)
          })
        const told = (response: FetchResponse): [string, string][] =>
          response.responses.flatMap(({ topic, partitions }) =>
            partitions.map((row): [string, string] => [
              `${topic}${row.partitionIndex}`,
              `${row.errorCode} ${row.highWatermark} ${row.logStartOffset}`,
            ]),
          )
        const fetch = (): void => {
          const isNew = id === 0
          const request = next(id, isNew ? 0 : epoch, topicsOf(isNew ? wanted.keys() : changed))
          request.forgottenTopicsData = [...forgotten].map(key => {
            const topicId = version === byId ? idOf(key[0]) : undefined
            return { ...fetchTopic(key[0], [], topicId), partitions: [Number(key[1])] }
          })
          const response = ask(sessions, logs, request, version)
          epoch = isNew ? 1 : epoch + 1
          id = response.sessionId
          for (const [key, news] of told(response)) known.set(key, news)
          changed.clear()
          forgotten.clear()
          const full = ask(sessions, logs, next(0, -1, topicsOf(wanted.keys())), version)
          expect(known).toEqual(new Map(told(full)))
          expect(recordsOf(response)).toEqual(recordsOf(full))
        }
        for (const step of script) {
          if (step.kind === 'fetch') {
            fetch()
            continue
          }
          const key = `${step.topic}${step.at}`
          const bump = (map: Map<string, number>): unknown => map.set(key, (map.get(key) ?? 0) + 1)
          if (step.kind === 'append') bump(logs.ends)
          else if (step.kind === 'trim') bump(logs.starts)
          else if (step.kind === 'break') logs.broken.add(key)
          else if (step.kind === 'mend') logs.broken.delete(key)
          else if (step.kind === 'read') {
            const offset = logs.ends.get(key) ?? 0
            wanted.set(key, { topic: step.topic, partition: step.at, offset })
            changed.add(key)
            forgotten.delete(key)
          } else if (wanted.delete(key)) {
            changed.delete(key)
            forgotten.add(key)
            known.delete(key)
          }
        }
        fetch()
      }),
      { numRuns: 500 },
    )
  },
)
