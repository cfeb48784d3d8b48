/** GET /v1/groups and /v1/groups/{group}: the shape of what is told, and what is told of groups that are not there. */
import { describe, expect, test } from 'vitest'
import type { GroupView } from '../../src/admin/group-views.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { makeServices, startTestHttp } from './http-fixture.ts'
import { parsePrometheus } from './prometheus-text.ts'

const view: GroupView = {
  groupId: 'orders',
  state: 'Stable',
  protocolType: 'consumer',
  protocol: 'range',
  generation: 7,
  leader: 'app-1',
  members: [
    {
      memberId: 'app-1',
      groupInstanceId: null,
      clientId: 'app',
      clientHost: '/127.0.0.1',
      sessionTimeoutMs: 45_000,
      rebalanceTimeoutMs: 300_000,
      assignment: new Map([['clicks', [0, 1]]]),
    },
    {
      memberId: 'app-2',
      groupInstanceId: 'two',
      clientId: '',
      clientHost: '/::1',
      sessionTimeoutMs: 6000,
      rebalanceTimeoutMs: 6000,
      assignment: null,
    },
  ],
  offsets: [
    {
      topic: 'clicks',
      partition: 0,
      committed: {
        offset: 2 ** 53 - 1,
        leaderEpoch: -1,
        metadata: 'm',
        commitTimestampMs: 1_700_000_000_000,
        expireTimestampMs: -1,
      },
      logStart: 0,
      logEnd: null,
      lag: null,
    },
    {
      topic: 'clicks',
      partition: 1,
      committed: {
        offset: 5,
        leaderEpoch: -1,
        metadata: '',
        commitTimestampMs: 9e15,
        expireTimestampMs: -1,
      },
      logStart: 0,
      logEnd: 9,
      lag: 4,
    },
  ],
  timeline: [
    {
      wallMs: 1_700_000_000_123,
      kind: 'expired',
      generation: 6,
      memberId: 'app-3',
      groupInstanceId: null,
      clientId: 'app',
      clientHost: '/127.0.0.1',
      detail: 'was not heard of',
      decidedBy: 'session.timeout.ms=45000',
      elapsedMs: null,
      times: 1,
    },
  ],
}

/** The same as it is told. */
const viewJson = {
  cluster_id: 'this-cluster',
  coordinator: { node_id: 1, host: '127.0.0.1', port: 9092 },
  group_id: 'orders',
  state: 'Stable',
  protocol_type: 'consumer',
  protocol: 'range',
  generation: 7,
  leader: 'app-1',
  members: [
    {
      member_id: 'app-1',
      group_instance_id: null,
      client_id: 'app',
      client_host: '/127.0.0.1',
      session_timeout_ms: 45_000,
      rebalance_timeout_ms: 300_000,
      assignment: [{ topic: 'clicks', partitions: [0, 1] }],
    },
    {
      member_id: 'app-2',
      group_instance_id: 'two',
      client_id: '',
      client_host: '/::1',
      session_timeout_ms: 6000,
      rebalance_timeout_ms: 6000,
      assignment: null,
    },
  ],
  offsets: [
    {
      topic: 'clicks',
      partition: 0,
      committed_offset: '9007199254740991',
      metadata: 'm',
      committed_at: '2023-11-14T22:13:20.000Z',
      log_start_offset: '0',
      log_end_offset: null,
      lag: null,
    },
    {
      topic: 'clicks',
      partition: 1,
      committed_offset: '5',
      metadata: '',
      committed_at: null,
      log_start_offset: '0',
      log_end_offset: '9',
      lag: '4',
    },
  ],
  timeline: [
    {
      time: '2023-11-14T22:13:20.123Z',
      event: 'expired',
      generation: 6,
      member_id: 'app-3',
      group_instance_id: null,
      client_id: 'app',
      client_host: '/127.0.0.1',
      detail: 'was not heard of',
      decided_by: 'session.timeout.ms=45000',
      elapsed_ms: null,
      times: 1,
    },
  ],
}

async function listener(answer: GroupView | number | null) {
  const asked: string[] = []
  const { url } = await startTestHttp(
    makeServices({
      groups: {
        list: () => [
          {
            groupId: 'orders',
            state: 'Stable',
            protocolType: 'consumer',
            members: 2,
            committedOffsets: 3,
          },
        ],
        view: groupId => {
          asked.push(groupId)
          return answer
        },
        lags: () => [
          ['orders', 12],
          ['odd "name"\n\\', 0],
        ],
      },
    }),
  )
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await fetch(`${url}${path}`, { headers })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  return { asked, get, url }
}

describe('groups', () => {
  test('all of them, in a line each', async () => {
    const { get } = await listener(null)
    expect(await get('/v1/groups')).toEqual({
      status: 200,
      body: {
        cluster_id: 'this-cluster',
        groups: [
          {
            group_id: 'orders',
            state: 'Stable',
            protocol_type: 'consumer',
            members: 2,
            committed_offsets: 3,
          },
        ],
      },
    })
  })

  test('one with members, offsets and timeline; offsets are strings', async () => {
    const { get } = await listener(view)
    const { status, body } = await get('/v1/groups/orders')
    expect(status).toBe(200)
    expect(body).toEqual(viewJson)
  })

  test('a name may hold anything, up to its 255 bytes', async () => {
    const { asked, get } = await listener(view)
    const names = ['a/b', '%41', 'ü €', '__proto__', 'é'.repeat(127), ' '.repeat(255)]
    for (const name of names) {
      const { status } = await get(`/v1/groups/${encodeURIComponent(name)}`)
      expect([name, status]).toEqual([name, 200])
    }
    expect(asked).toEqual(names)
  })

  test('one that is not there is a 404, one that cannot be told now a 503', async () => {
    const { get } = await listener(null)
    expect(await get('/v1/groups/no%22such')).toEqual({
      status: 404,
      body: {
        error_code: 404,
        message: 'there is no group "no\\"such"; GET /v1/groups lists them',
      },
    })
    const loading = await listener(Errors.COORDINATOR_LOAD_IN_PROGRESS)
    const { status, body } = await loading.get('/v1/groups/orders')
    expect(status).toBe(503)
    expect(body.message).toContain('COORDINATOR_LOAD_IN_PROGRESS')
  })

  test('are not for web pages of others', async () => {
    const { asked, get } = await listener(view)
    const headers = { origin: 'http://evil.example' }
    expect((await get('/v1/groups/orders', headers)).status).toBe(403)
    expect((await get('/v1/groups', headers)).status).toBe(403)
    expect(asked).toEqual([])
  })
})

test('the lag of every group is a metric, whatever its name', async () => {
  const { url } = await listener(null)
  const families = parsePrometheus(await (await fetch(`${url}/metrics`)).text())
  const samples = families.get('odradek_group_lag_records')?.samples ?? []
  const lags = samples.map(({ labels, value }) => [labels.get('group'), value])
  expect(lags).toEqual([
    ['orders', 12],
    [String.raw`odd \"name\"\n\\`, 0],
  ])
})
