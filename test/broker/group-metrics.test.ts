/** Groups of a real broker in /metrics and /v1/groups: what members do moves the numbers. */
import { expect, onTestFinished, test } from 'vitest'
import { Admin } from '../../src/client/admin.ts'
import { Member } from '../groups/wire-kit.ts'
import { parsePrometheus } from '../http/prometheus-text.ts'
import { WireClient } from '../support/wire-client.ts'
import { batchOf, connect, createTopic, produce, testBroker } from './fixture.ts'

/** A bound for what must come, not an expectation of when. */
const patience = { timeout: 30_000 }

/** All samples by name and values of labels, as `groups Empty`. */
async function scrape(httpUrl: string | null) {
  const text = await (await fetch(`${httpUrl}/metrics`)).text()
  const numbers = new Map<string, number>()
  for (const { samples } of parsePrometheus(text).values()) {
    for (const { name, labels, value } of samples) {
      numbers.set([name, ...labels.values()].join(' '), value)
    }
  }
  return (name: string) => numbers.get(`odradek_${name}`)
}

/** A broker with a topic of three records, a group that has committed the first, and one with a member and all. */
async function scene() {
  const broker = await testBroker({ http: true, set: { 'group.min.session.timeout.ms': 100 } })
  const topic = await createTopic(await connect(broker))
  for (const value of ['a', 'b', 'c']) {
    await produce(await connect(broker), topic, batchOf([value]))
  }
  const admin = new Admin({ bootstrap: broker.bootstrap })
  onTestFinished(() => admin.close())
  await admin.groups.commit('simple', [{ topic, partition: 0, offset: 1 }])
  await admin.groups.commit('readers', [{ topic, partition: 0, offset: 3 }])
  const newMember = async () => {
    const client = await WireClient.connect(broker.bootstrap)
    onTestFinished(() => client.close())
    return new Member(client, 'readers')
  }
  const lasting = await newMember()
  await lasting.join()
  await lasting.sync()
  return { httpUrl: broker.httpUrl, admin, newMember, lasting }
}

test('metrics tell members, rebalances and lag', async () => {
  const { httpUrl, newMember, lasting } = await scene()
  const before = await scrape(httpUrl)
  expect(before('groups Empty')).toBe(1)
  expect(before('groups Stable')).toBe(1)
  expect(before('groups PreparingRebalance')).toBe(0)
  expect(before('group_members')).toBe(1)
  expect(before('group_rebalances_total')).toBe(1)
  expect(before('group_rebalance_seconds_count')).toBe(1)
  expect(before('group_member_events_total joined')).toBe(1)
  expect(before('group_lag_records simple')).toBe(2)
  expect(before('group_lag_records readers')).toBe(0)
  // It never joins again, so it is late or not heard of; either way it goes, and the other leaves.
  const short = await newMember()
  void short.join({ sessionTimeoutMs: 100, rebalanceTimeoutMs: 100 })
  await expect.poll(async () => (await lasting.heartbeat()) !== 0, patience).toBe(true)
  await lasting.leave()
  await expect.poll(async () => (await scrape(httpUrl))('groups Empty'), patience).toBe(2)
  const after = await scrape(httpUrl)
  expect(after('group_members')).toBe(0)
  expect(after('group_member_events_total left')).toBe(1)
  expect(
    after('group_member_events_total expired')! + after('group_member_events_total late')!,
  ).toBe(1)
  expect(after('group_rebalances_total')).toBeGreaterThan(1)
})

test('HTTP tells groups as they stand', async () => {
  const { httpUrl, admin, lasting } = await scene()
  const get = async (path: string) => (await fetch(`${httpUrl}/v1/groups${path}`)).json()
  const readers = { group_id: 'readers', state: 'Stable', protocol_type: 'consumer' }
  expect(await get('')).toEqual({
    cluster_id: await admin.groups.clusterId(),
    groups: [
      { ...readers, members: 1, committed_offsets: 1 },
      { group_id: 'simple', state: 'Empty', protocol_type: '', members: 0, committed_offsets: 1 },
    ],
  })
  expect(await get('/simple')).toMatchObject({
    state: 'Empty',
    members: [],
    offsets: [{ committed_offset: '1', log_start_offset: '0', log_end_offset: '3', lag: '2' }],
    timeline: [],
  })
  expect(await get('/readers')).toMatchObject({
    ...readers,
    generation: 1,
    leader: lasting.memberId,
    members: [{ session_timeout_ms: 10_000, rebalance_timeout_ms: 60_000, assignment: [] }],
    timeline: [
      { event: 'joined', member_id: lasting.memberId },
      { event: 'rebalancing' },
      { event: 'generation', generation: 1 },
      { event: 'stable' },
    ],
  })
  expect(await get('/nosuch')).toMatchObject({ error_code: 404 })
})
