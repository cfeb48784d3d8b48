/** The admin routes over a real broker: what they change is what Kafka's own clients see, and what they refuse. */
import { describe, expect, onTestFinished, test } from 'vitest'
import { Admin } from '../../src/client/admin.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import {
  batchOf,
  connect,
  createTopic,
  newTopicName,
  sharedBroker,
  store,
  timedBatch,
} from '../broker/fixture.ts'
import { Member } from '../groups/wire-kit.ts'

const broker = sharedBroker({ http: true })

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

async function call(method: string, path: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(`${broker().httpUrl}${path}`, {
    method,
    ...(body !== undefined && {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** Must be answered 200 or 201. */
async function done(method: string, path: string, body?: unknown) {
  const answer = await call(method, path, body)
  expect(answer).toEqual({ status: expect.toBeOneOf([200, 201]), body: answer.body })
  return answer.body
}

async function refused(method: string, path: string, body?: unknown) {
  const { status, body: problem } = await call(method, path, body)
  expect(Object.keys(problem)).toEqual(['error_code', 'message'])
  expect(
    Math.floor(Number(problem.error_code) / 10 ** (String(problem.error_code).length - 3)),
  ).toBe(status)
  return [status, String(problem.message)] as const
}

async function wireAdmin(): Promise<Admin> {
  const admin = new Admin({ bootstrap: broker().bootstrap })
  onTestFinished(() => admin.close())
  await admin.connect()
  return admin
}

describe('topics', () => {
  test('one from its creation to its end', async () => {
    const topic = newTopicName()
    const created = await call('POST', '/v1/topics', {
      topic,
      partitions: 2,
      configs: { 'retention.ms': 3_600_000, 'cleanup.policy': 'delete' },
    })
    const configs = { 'retention.ms': '3600000', 'cleanup.policy': 'delete' }
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({ topic, partitions: 2, replication_factor: 1, configs })
    const id = created.body.topic_id
    const admin = await wireAdmin()
    expect(await admin.describeTopic(topic)).toMatchObject({ id, partitions: [{}, {}] })

    await store(await connect(broker()), topic, batchOf(['a', 'b', 'c']), { partition: 1 })
    expect(await done('POST', `/v1/topics/${topic}/partitions`, { count: 3 })).toEqual({
      topic,
      partitions: 3,
    })
    const details = await done('GET', `/v1/topics/${topic}`)
    expect(details).toMatchObject({ topic, topic_id: id, internal: false, configs })
    expect(details.partitions).toEqual(
      ['0', '3', '0'].map((end, partition) => ({
        partition,
        leader: 0,
        worker: expect.any(Number),
        state: 'online',
        log_start_offset: '0',
        log_end_offset: end,
      })),
    )
    const { topics } = await done('GET', '/v1/topics')
    expect(topics).toContainEqual({ topic, topic_id: id, internal: false, partitions: 3, configs })

    const path = `/v1/topics/${topic}/partitions/1/records`
    expect(await done('DELETE', `${path}?before=2`)).toMatchObject({ log_start_offset: '2' })
    expect(await done('DELETE', `${path}?before=end`)).toMatchObject({ log_start_offset: '3' })

    expect(await done('DELETE', `/v1/topics/${topic}`)).toEqual({
      topic,
      topic_id: id,
      deleted: true,
    })
    expect((await admin.listTopics()).some(({ name }) => name === topic)).toBe(false)
    expect(await refused('GET', `/v1/topics/${topic}`)).toEqual([
      404,
      expect.stringContaining(topic),
    ])
  })

  test('what is only checked is not done', async () => {
    const topic = newTopicName()
    const { status, body } = await call('POST', '/v1/topics', { topic, validate_only: true })
    expect([status, body.topic_id]).toEqual([200, null])
    expect((await call('GET', `/v1/topics/${topic}`)).status).toBe(404)
    await done('POST', '/v1/topics', { topic })
    await done('POST', `/v1/topics/${topic}/partitions`, { count: 9, validate_only: true })
    await done('PATCH', `/v1/topics/${topic}/configs`, {
      set: { 'retention.ms': '1' },
      validate_only: true,
    })
    expect(await done('GET', `/v1/topics/${topic}`)).toMatchObject({
      configs: {},
      partitions: [{ partition: 0 }],
    })
  })

  test.each<[string, string, unknown, number, RegExp]>([
    ['POST', '/v1/topics', {}, 400, /topic/],
    ['POST', '/v1/topics', { topic: 'no spaces' }, 400, /character/],
    ['POST', '/v1/topics', { topic: 't', partition: 3 }, 400, /"partition"/],
    ['POST', '/v1/topics', { topic: 't', partitions: 0 }, 400, /partitions/],
    ['POST', '/v1/topics', { topic: 't', partitions: '3' }, 400, /partitions/],
    ['POST', '/v1/topics', { topic: 't', replication_factor: 3 }, 400, /1 broker/],
    ['POST', '/v1/topics', { topic: 't', configs: { 'no.such': 1 } }, 400, /no\.such/],
    ['POST', '/v1/topics', { topic: 't', configs: { 'retention.ms': null } }, 400, /retention/],
    ['POST', '/v1/topics', { topic: '__consumer_offsets' }, 400, /reserved|already exists/],
    ['POST', '/v1/topics', [], 400, /object/],
    ['GET', '/v1/topics/nobody', undefined, 404, /"nobody" does not exist/],
    ['DELETE', '/v1/topics/nobody', undefined, 404, /does not exist/],
    ['DELETE', '/v1/topics/__proto__', undefined, 404, /does not exist/],
    ['POST', '/v1/topics/nobody/partitions', { count: 3 }, 404, /does not exist/],
    ['POST', '/v1/topics/nobody/partitions', { count: 1.5 }, 400, /count/],
    ['GET', '/v1/topics/nobody/configs', undefined, 404, /does not exist/],
    ['PATCH', '/v1/topics/nobody/configs', { set: {} }, 404, /does not exist/],
    ['DELETE', '/v1/topics/nobody/partitions/0/records?before=1', undefined, 404, /not exist/],
    ['DELETE', '/v1/topics/nobody/partitions/0/records', undefined, 400, /before/],
    ['DELETE', '/v1/topics/nobody/partitions/x/records?before=1', undefined, 400, /partition/],
    ['DELETE', '/v1/topics/nobody/partitions/0/records?before=-2', undefined, 400, /before/],
  ])('%s %s %j is refused: %i', async (method, path, body, status, message) => {
    expect(await refused(method, path, body)).toEqual([status, expect.stringMatching(message)])
  })

  test('a name that is taken, fewer partitions, records that are not there', async () => {
    const topic = await createTopic(await connect(broker()), { partitions: 2 })
    expect(await refused('POST', '/v1/topics', { topic })).toEqual([
      409,
      expect.stringContaining('already exists'),
    ])
    const [status] = await refused('POST', `/v1/topics/${topic}/partitions`, { count: 2 })
    expect(status).toBe(400)
    const path = `/v1/topics/${topic}/partitions`
    expect((await refused('DELETE', `${path}/0/records?before=7`))[0]).toBe(416)
    expect((await refused('DELETE', `${path}/2/records?before=0`))[0]).toBe(404)
  })

  test('only JSON is a body, and only of our own pages', async () => {
    const topic = newTopicName()
    const url = `${broker().httpUrl}/v1/topics`
    const body = JSON.stringify({ topic })
    const headers = { 'content-type': 'text/plain' }
    expect((await fetch(url, { method: 'POST', body, headers })).status).toBe(415)
    const foreign = { 'content-type': 'application/json', origin: 'http://evil.example' }
    expect((await fetch(url, { method: 'POST', body, headers: foreign })).status).toBe(403)
    const origin = 'http://evil.example'
    const deletion = { method: 'DELETE', headers: { origin } }
    expect((await fetch(`${url}/${topic}`, deletion)).status).toBe(403)
    expect((await call('GET', `/v1/topics/${topic}`)).status).toBe(404)
  })
})

describe('configs', () => {
  test('of a topic: steps, replacement, where each is from', async () => {
    const topic = await createTopic(await connect(broker()), {
      configs: { 'retention.ms': '1000', 'segment.bytes': '1048576' },
    })
    const path = `/v1/topics/${topic}/configs`
    const patch = {
      set: { 'max.message.bytes': 5000 },
      delete: ['segment.bytes'],
      append: { 'cleanup.policy': 'compact' },
    }
    expect(await done('PATCH', path, patch)).toEqual({
      topic,
      configs: {
        'retention.ms': '1000',
        'max.message.bytes': '5000',
        'cleanup.policy': 'delete,compact',
      },
    })
    const admin = await wireAdmin()
    const seen = (await admin.topicConfigs(topic)).filter(({ isDefault }) => !isDefault)
    expect(seen.map(({ name }) => name).toSorted()).toEqual([
      'cleanup.policy',
      'max.message.bytes',
      'retention.ms',
    ])
    await done('PATCH', path, { subtract: { 'cleanup.policy': 'compact' } })
    expect(await done('PUT', path, { configs: { 'retention.bytes': 77 } })).toEqual({
      topic,
      configs: { 'retention.bytes': '77' },
    })
    const { configs } = await done('GET', `${path}?names=retention.bytes,retention.ms,no.such`)
    expect(configs).toMatchObject([
      { name: 'retention.bytes', value: '77', source: 'topic' },
      { name: 'retention.ms', source: 'default', read_only: false },
    ])
  })

  test('of a topic: refused as a whole', async () => {
    const topic = await createTopic(await connect(broker()))
    const path = `/v1/topics/${topic}/configs`
    const set = { 'retention.ms': '5' }
    for (const [body, message] of [
      [{ set: { ...set, 'no.such': '1' } }, /no\.such/],
      [{ set, delete: ['retention.ms'] }, /twice/],
      [{ set, append: { 'segment.bytes': '1' } }, /not a list/],
      [{ set: { 'retention.ms': 'soon' } }, /retention\.ms/],
      [{ sett: set }, /"sett"/],
    ] as const) {
      expect(await refused('PATCH', path, body)).toEqual([400, expect.stringMatching(message)])
    }
    expect(await done('GET', `/v1/topics/${topic}`)).toMatchObject({ configs: {} })
    const [, why] = await refused('PATCH', '/v1/topics/__consumer_offsets/configs', {
      set: { 'cleanup.policy': 'delete' },
    }).catch(() => ['', 'does not exist'])
    expect(why).toMatch(/broker's own|does not exist/)
  })

  test('of the broker, which cannot be changed here', async () => {
    const { configs } = await done('GET', '/v1/configs?names=num.partitions')
    expect(configs).toEqual([
      {
        name: 'num.partitions',
        value: '1',
        source: 'default',
        read_only: true,
        documentation: expect.any(String),
      },
    ])
    const all = await done('GET', '/v1/configs')
    expect((all.configs as unknown[]).length).toBeGreaterThan(30)
    expect((await refused('PATCH', '/v1/configs', { set: {} }))[0]).toBe(404)
  })
})

describe('groups', () => {
  let groups = 0
  const newGroup = (): string => `group/${process.pid}-${++groups} ü`
  const pathOf = (group: string): string => `/v1/groups/${encodeURIComponent(group)}`

  /** As a consumer that assigns itself does. */
  async function commit(groupId: string, topic: string, offset: number, partition = 0) {
    const client = await connect(broker())
    const place = { partitionIndex: partition, committedOffset: offset }
    const row = { ...place, committedLeaderEpoch: -1, commitTimestamp: -1 }
    const answer = await client.request(OffsetCommit, 8, {
      groupId,
      generationIdOrMemberEpoch: -1,
      memberId: '',
      groupInstanceId: null,
      retentionTimeMs: -1,
      topics: [{ name: topic, partitions: [{ ...row, committedMetadata: '' }] }],
    })
    expect(answer.topics[0].partitions[0].errorCode).toBe(0)
  }

  async function filled(): Promise<string> {
    const client = await connect(broker())
    const topic = await createTopic(client, { partitions: 2 })
    const firstMs = Date.UTC(2026, 0, 1)
    await store(client, topic, timedBatch([0, 1, 2, 3].map(hour => firstMs + hour * 3_600_000)))
    await store(client, topic, batchOf(['x', 'y']), { partition: 1 })
    return topic
  }

  async function committed(group: string): Promise<unknown[]> {
    const { offsets } = await done('GET', pathOf(group))
    return (offsets as Record<string, unknown>[]).map(row => [row.partition, row.committed_offset])
  }

  test.each<[Record<string, unknown>, string, string]>([
    [{ to: 'earliest' }, '0', '0'],
    [{ to: 'latest' }, '4', '2'],
    [{ to: '1' }, '1', '1'],
    [{ to: '3' }, '3', '2'],
    [{ to: '2026-01-01T02:00:00Z' }, '2', '0'],
    [{ to: '2025-12-31' }, '0', '0'],
  ])('a new one begins where it is told to: %j', async (where, first, second) => {
    const topic = await filled()
    const group = newGroup()
    const body = { ...where, topics: [{ topic }] }
    const dry = await done('POST', `${pathOf(group)}/offsets`, { ...body, dry_run: true })
    expect((await call('GET', pathOf(group))).status).toBe(404)
    const { offsets, dry_run } = await done('POST', `${pathOf(group)}/offsets`, body)
    expect(dry_run).toBe(false)
    expect(offsets).toEqual(dry.offsets)
    expect(offsets).toMatchObject([
      { topic, partition: 0, before: null, after: first, log_end_offset: '4' },
      { topic, partition: 1, before: null, after: second, log_end_offset: '2' },
    ])
    expect(await committed(group)).toEqual([
      [0, first],
      [1, second],
    ])
  })

  test('what it has committed is shifted, some partitions only, and within the log', async () => {
    const topic = await filled()
    const group = newGroup()
    await commit(group, topic, 2)
    const path = `${pathOf(group)}/offsets`
    expect(await done('POST', path, { shift_by: -1 })).toMatchObject({
      offsets: [{ partition: 0, before: '2', after: '1', note: null }],
    })
    expect(await done('POST', path, { shift_by: 100 })).toMatchObject({
      offsets: [{ after: '4', note: '101 is beyond the end of the log' }],
    })
    const twice = [
      { topic, partitions: [1] },
      { topic, partitions: [1, 1] },
    ]
    await done('POST', path, { to: 'latest', topics: twice })
    expect(await committed(group)).toEqual([
      [0, '4'],
      [1, '2'],
    ])
  })

  test('one with members is left alone; without them it is deleted', async () => {
    const topic = await filled()
    const group = newGroup()
    await commit(group, topic, 2)
    const member = new Member(await connect(broker()), group)
    await member.join()
    const busy = [409, expect.stringMatching(/1 member: stop it first/)]
    expect(await refused('DELETE', pathOf(group))).toEqual(busy)
    for (const dry_run of [true, false]) {
      const body = { to: 'latest', dry_run }
      expect(await refused('POST', `${pathOf(group)}/offsets`, body)).toEqual(busy)
    }
    expect(await committed(group)).toEqual([[0, '2']])
    await member.leave()
    expect(await done('DELETE', pathOf(group))).toEqual({ group_id: group, deleted: true })
    expect((await call('GET', pathOf(group))).status).toBe(404)
    expect(await refused('DELETE', pathOf(group))).toEqual([
      404,
      expect.stringContaining('none of that name'),
    ])
  })

  test.each<[unknown, number, RegExp]>([
    [{}, 400, /either "to" or "shift_by"/],
    [{ to: 'latest', shift_by: 1 }, 400, /either/],
    [{ to: 'soon', topics: [] }, 400, /"soon"/],
    [{ to: 'latest' }, 400, /no committed offsets: name the topics/],
    [{ to: 'latest', topics: [] }, 400, /name the topics/],
    [{ to: 'latest', topics: [{ topic: 'nobody' }] }, 404, /nobody does not exist/],
    [{ to: 'latest', topics: [{ topic: 'nobody', partitions: [-1] }] }, 400, /partitions/],
    [{ to: 5 }, 400, /to/],
    [{ to: '99999999999999999999' }, 400, /"to" is/],
  ])('a reset is refused: %j', async (body, status, message) => {
    const path = `${pathOf(newGroup())}/offsets`
    expect(await refused('POST', path, body)).toEqual([status, expect.stringMatching(message)])
  })

  test('nothing is set when one of several cannot be', async () => {
    const topic = await filled()
    const group = newGroup()
    const path = `${pathOf(group)}/offsets`
    const [status] = await refused('POST', path, {
      to: 'latest',
      topics: [{ topic, partitions: [0, 2] }],
    })
    expect(status).toBe(404)
    await commit(group, topic, 1)
    const [, why] = await refused('POST', path, { shift_by: 1, topics: [{ topic }] })
    expect(why).toMatch(/-1: nothing is committed/)
    expect(await committed(group)).toEqual([[0, '1']])
  })
})
