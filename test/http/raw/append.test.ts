/** The produce route over a backend that has no room, or fails half-way: what a healthy broker hardly does. */
import { describe, expect, onTestFinished, test } from 'vitest'
import type { LogBackend, ProduceSink, TopicView } from '../../../src/http/backend/log-backend.ts'
import { OneRecord } from '../../../src/http/backend/record-sources.ts'
import { append } from '../../../src/http/raw/append.ts'
import { buildHttp } from '../../../src/http/server.ts'
import { Errors } from '../../../src/protocol/errors.ts'
import { makeServices } from '../http-fixture.ts'

type Outcome = readonly [errorCode: number, base: number, last: number, stored: number]

/** One topic of one partition; every append ends with `outcome`, once there is room. */
class ScriptedBackend {
  hasRoom = true
  outcome: Outcome = [Errors.NONE, 7, 7, 1]
  appends = 0
  readonly waiting = new Set<() => void>()

  topic(name: string): TopicView {
    return { name, id: name, isInternal: false, partitionCount: 1, configs: () => ({}) }
  }

  partitionFor = () => 0
  isFlushed = () => true
  explain = (_topic: string, _partition: number, code: number) => `it failed with ${code}`

  produce(_t: string, _p: number, _a: number, _s: unknown, sink: ProduceSink, tag: number) {
    if (!this.hasRoom) return false
    this.appends++
    setImmediate(() => sink.onProduced(tag, ...this.outcome))
    return true
  }

  whenRoom(retry: () => void) {
    this.waiting.add(retry)
    return () => this.waiting.delete(retry)
  }

  makeRoom() {
    this.hasRoom = true
    const retries = [...this.waiting]
    this.waiting.clear()
    for (const retry of retries) retry()
  }
}

const call = {
  topic: 't',
  partition: 0,
  acks: -1,
  source: new OneRecord().set(Buffer.from('v')),
} as const
const backendOf = (scripted: ScriptedBackend) => scripted as unknown as LogBackend

describe('an append without room', () => {
  test('waits for it, and is done once', async () => {
    const scripted = new ScriptedBackend()
    scripted.hasRoom = false
    const done = append(backendOf(scripted), call, () => false)
    await new Promise(setImmediate)
    expect([scripted.waiting.size, scripted.appends]).toEqual([1, 0])
    scripted.makeRoom()
    expect(await done).toEqual({ errorCode: 0, baseOffset: 7, lastOffset: 7, storedCount: 1 })
    expect(scripted.appends).toBe(1)
  })

  test('whose client has gone is not done any more', async () => {
    const scripted = new ScriptedBackend()
    scripted.hasRoom = false
    const done = append(backendOf(scripted), call, () => true)
    scripted.makeRoom()
    await expect(done).rejects.toMatchObject({ statusCode: 503 })
    expect([scripted.waiting.size, scripted.appends]).toEqual([0, 0])
  })
})

describe('the route', () => {
  async function post(outcome: Outcome) {
    const scripted = new ScriptedBackend()
    scripted.outcome = outcome
    const app = buildHttp(makeServices({ backend: backendOf(scripted) }))
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => app.close())
    const headers = { 'content-type': 'text/plain; format=lines' }
    const answer = await fetch(`${url}/topics/t`, { method: 'POST', headers, body: 'a\nb\nc' })
    return {
      status: answer.status,
      retry: answer.headers.get('retry-after'),
      json: await answer.json(),
    }
  }

  test.each([
    [Errors.KAFKA_STORAGE_ERROR, 503, 50302, '1'],
    [Errors.NOT_LEADER_OR_FOLLOWER, 503, 50301, '1'],
    [Errors.REQUEST_TIMED_OUT, 504, 50401, null],
    [Errors.UNKNOWN_TOPIC_OR_PARTITION, 404, 40401, null],
    [Errors.MESSAGE_TOO_LARGE, 413, 41301, null],
    [Errors.UNKNOWN_SERVER_ERROR, 500, 50002, null],
  ])('answers Kafka’s code %i with %i and %i', async (code, status, errorCode, retry) => {
    expect(await post([code, -1, -1, 0])).toEqual({
      status,
      retry,
      json: { error_code: errorCode, message: `it failed with ${code}` },
    })
  })

  test('tells what was stored before a later batch failed', async () => {
    const { status, json } = await post([Errors.KAFKA_STORAGE_ERROR, 5, 6, 2])
    expect([status, json]).toEqual([
      503,
      {
        error_code: 50302,
        message: expect.stringContaining('first 2 records are stored'),
        topic: 't',
        partition: 0,
        base_offset: '5',
        count: 2,
      },
    ])
  })
})
