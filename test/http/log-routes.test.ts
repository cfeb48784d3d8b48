/** POST /v1/logs/{topic}/{partition}/recover: what it asks the broker, and how each outcome is told. */
import { describe, expect, test } from 'vitest'
import type { OpenedPartition } from '../../src/contracts/control.ts'
import { makeServices, startTestHttp } from './http-fixture.ts'

const opened: OpenedPartition = {
  slot: 0,
  error: null,
  logStartOffset: 3,
  logEndOffset: 2 ** 53 - 1,
  recoveredBytes: 0,
  truncatedBytes: 7,
}

async function listener(result: OpenedPartition | null) {
  const asked: unknown[] = []
  const services = makeServices({
    recoverPartition: async (topic, partition) => {
      asked.push([topic, partition])
      return result
    },
  })
  const { url } = await startTestHttp(services)
  const post = async (path: string, headers: Record<string, string> = {}) => {
    const answer = await fetch(`${url}${path}`, { method: 'POST', headers })
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
  }
  return { asked, post, url }
}

describe('recover', () => {
  test('answers where the log stands, offsets as strings', async () => {
    const { asked, post } = await listener(opened)
    expect(await post('/v1/logs/a.b_c-d/12/recover')).toEqual({
      status: 200,
      body: {
        topic: 'a.b_c-d',
        partition: 12,
        state: 'online',
        log_start_offset: '3',
        log_end_offset: '9007199254740991',
        truncated_bytes: 7,
      },
    })
    expect(asked).toEqual([['a.b_c-d', 12]])
  })

  test('a partition that stays offline is a 503 with the reason', async () => {
    const { post } = await listener({ ...opened, error: 'EIO: fdatasync' })
    expect(await post('/v1/logs/t/0/recover')).toEqual({
      status: 503,
      body: { error_code: 503, message: 't-0 stays offline: EIO: fdatasync' },
    })
  })

  test('one that does not exist is a 404, one that is no number a 400', async () => {
    const { asked, post } = await listener(null)
    expect((await post('/v1/logs/__proto__/0/recover')).status).toBe(404)
    expect(asked).toEqual([['__proto__', 0]])
    for (const partition of ['x', '-1', '1.5', '99999999', '%20']) {
      expect((await post(`/v1/logs/t/${partition}/recover`)).status).toBe(400)
    }
    expect(asked).toHaveLength(1)
  })

  test('is not for web pages of others, and not for GET', async () => {
    const { asked, post, url } = await listener(opened)
    expect((await post('/v1/logs/t/0/recover', { origin: 'http://evil.example' })).status).toBe(403)
    expect((await fetch(`${url}/v1/logs/t/0/recover`)).status).toBe(404)
    expect(asked).toEqual([])
  })
})
