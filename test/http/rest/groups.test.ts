/** Consumer instances as members of groups: with each other, with Kafka clients, and when they go. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import type { Broker } from '../../../src/broker.ts'
import { Admin } from '../../../src/client/admin.ts'
import { fast, readInGroup } from '../../client/group-kit.ts'
import { requireCommand } from '../../support/requires.ts'
import { type Call, callOf, createInstance, put, startRest, take } from './rest-kit.ts'

const at = (topic: string, partition: number, more = {}) => ({ topic, partition, ...more })

async function subscribe(call: Call, path: string, topics: readonly string[]): Promise<void> {
  const { status, text } = await call('POST', `${path}/subscription`, { body: { topics } })
  expect(status, text).toBe(204)
}

async function partitionsOf(call: Call, path: string): Promise<number[]> {
  const { json } = await call('GET', `${path}/assignments`)
  return json.partitions.map(({ partition }: { partition: number }) => partition)
}

const committed = ({ parts }: Broker, group: string, topic: string, partition: number) =>
  parts.services.committed.get(group, topic, partition)?.offset
const membersOf = ({ parts }: Broker, group: string) =>
  parts.services.groups.describe(group).members.length

test('instances share the partitions; what one gives up the other reads, each record once', async () => {
  const { call } = await startRest({ 'num.partitions': 4 })
  for (let partition = 0; partition < 4; partition++) await put(call, 't', [partition], partition)
  const one = await createInstance(call, 'g')
  await subscribe(call, one, ['t'])
  await expect.poll(() => partitionsOf(call, one)).toEqual([0, 1, 2, 3])
  const two = await createInstance(call, 'g')
  await subscribe(call, two, ['t'])
  await expect.poll(async () => (await partitionsOf(call, two)).length).toBe(2)
  await expect.poll(async () => (await partitionsOf(call, one)).length).toBe(2)
  const read = [...(await take(call, one, 2)), ...(await take(call, two, 2))]
  expect(new Set(read.map(({ value }) => value))).toEqual(new Set([0, 1, 2, 3]))
  expect((await call('DELETE', one)).status).toBe(204)
  await expect.poll(() => partitionsOf(call, two)).toEqual([0, 1, 2, 3])
  // The one that went had committed: nothing comes twice.
  await put(call, 't', ['new'], 0)
  expect((await take(call, two, 1)).map(({ value }) => value)).toEqual(['new'])
})

test('an instance and kcat -G share a group, and each goes on where the other stood', async context => {
  const kcat = requireCommand(context, 'kcat')
  const { call, broker } = await startRest()
  await put(call, 't', [0], 0)
  await put(call, 't', [1], 1)
  const path = await createInstance(call, 'shared')
  await subscribe(call, path, ['t'])
  const args = [
    '-b',
    broker.bootstrap,
    '-G',
    'shared',
    '-u',
    '-f',
    '%p:%s\n',
    '-X',
    'auto.offset.reset=earliest',
  ]
  const child = spawn(kcat, [...args, 't'])
  onTestFinished(() => void child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', chunk => {
    output += String(chunk)
  })
  await expect.poll(() => membersOf(broker, 'shared'), { timeout: 30_000 }).toBe(2)
  await expect.poll(() => partitionsOf(call, path), { timeout: 30_000 }).toHaveLength(1)
  const [mine] = await partitionsOf(call, path)
  const [read] = await take(call, path, 1)
  expect(read).toMatchObject({ partition: mine, value: mine })
  await expect.poll(() => output, { timeout: 30_000 }).toContain(`${1 - mine}:${1 - mine}`)
  expect(output).not.toContain(`${mine}:`)
  // kcat leaves (SIGTERM commits): the instance gets everything, and nothing again.
  child.kill('SIGTERM')
  await once(child, 'exit')
  await expect.poll(() => partitionsOf(call, path), { timeout: 30_000 }).toEqual([0, 1])
  await put(call, 't', ['later'], 1 - mine)
  expect((await take(call, path, 1)).map(({ value }) => value)).toEqual(['later'])
})

test('an instance and a consumer of our own client share a group', async () => {
  const { call, broker } = await startRest()
  await put(call, 't', [0], 0)
  await put(call, 't', [1], 1)
  const reader = await readInGroup(broker.bootstrap, 'ours', 't', fast)
  const path = await createInstance(call, 'ours')
  await subscribe(call, path, ['t'])
  await expect.poll(() => partitionsOf(call, path), { timeout: 30_000 }).toHaveLength(1)
  await reader.close()
  await expect.poll(() => partitionsOf(call, path), { timeout: 30_000 }).toEqual([0, 1])
})

test('auto commit counts what earlier calls gave out, not what the client may still have in its hands', async () => {
  const { call, broker } = await startRest()
  await put(call, 't', [0, 1], 0)
  const path = await createInstance(call, 'g')
  await subscribe(call, path, ['t'])
  await take(call, path, 2)
  // A rebalance while the client works on the two: nobody may take them for done.
  const other = await createInstance(call, 'g')
  await subscribe(call, other, ['t'])
  await expect.poll(() => membersOf(broker, 'g')).toBe(2)
  await expect.poll(() => partitionsOf(call, other)).toHaveLength(1)
  expect(committed(broker, 'g', 't', 0)).toBe(0)
  await call('DELETE', other)
  // It kept its place meanwhile or reads them again; asking for more is what counts.
  await put(call, 't', [2], 0)
  let last = -1
  while (last < 2) for (const { value } of await take(call, path, 1)) last = value
  await call('GET', `${path}/records?timeout=0`)
  await call('DELETE', path)
  await expect.poll(() => committed(broker, 'g', 't', 0)).toBe(3)
})

test('without auto commit only commits count', async () => {
  const { call, broker } = await startRest()
  await put(call, 't', [0, 1, 2], 0)
  const path = await createInstance(call, 'g', { 'auto.commit.enable': 'false' })
  await subscribe(call, path, ['t'])
  await take(call, path, 3)
  await call('GET', `${path}/records?timeout=0`)
  await call('DELETE', path)
  expect(committed(broker, 'g', 't', 0)).toBeUndefined()
  const again = await createInstance(call, 'g', { 'auto.commit.enable': false })
  await subscribe(call, again, ['t'])
  expect(await take(call, again, 3)).toHaveLength(3)
  expect((await call('POST', `${again}/offsets`)).status).toBe(200)
  expect(committed(broker, 'g', 't', 0)).toBe(3)
  // -1: nothing is done with.
  await call('POST', `${again}/offsets`, { body: { offsets: [at('t', 0, { offset: -1 })] } })
  expect(committed(broker, 'g', 't', 0)).toBe(0)
})

test('a partition that went to somebody else cannot be committed any more', async () => {
  const { call, broker } = await startRest()
  await put(call, 't', [0], 0)
  await put(call, 't', [1], 1)
  const one = await createInstance(call, 'g', { 'auto.commit.enable': false })
  await subscribe(call, one, ['t'])
  await take(call, one, 2)
  const two = await createInstance(call, 'g', { 'auto.commit.enable': false })
  await subscribe(call, two, ['t'])
  await expect.poll(() => partitionsOf(call, two)).toHaveLength(1)
  const [lost] = await partitionsOf(call, two)
  const row = (partition: number) => ({ offsets: [at('t', partition, { offset: 0 })] })
  await expect
    .poll(async () => (await call('POST', `${one}/offsets`, { body: row(1 - lost) })).status)
    .toBe(200)
  const refused = await call('POST', `${one}/offsets`, { body: row(lost) })
  expect(refused).toMatchObject({ status: 409, json: { error_code: 40903 } })
  expect(committed(broker, 'g', 't', lost)).toBeUndefined()
  // Nor by one that only assigned itself partitions of a group that has members.
  const outsider = await createInstance(call, 'g')
  await call('POST', `${outsider}/assignments`, { body: { partitions: [at('t', lost)] } })
  expect(await call('POST', `${outsider}/offsets`, { body: row(lost) })).toMatchObject({
    status: 409,
    json: { error_code: 40903 },
  })
})

test('an instance that idles leaves its group; its name is 410 with the cure, until it is created anew', async () => {
  const { call, broker } = await startRest({ 'consumer.instance.timeout.ms': 3000 })
  await put(call, 't', [0], 0)
  const path = await createInstance(call, 'g', { name: 'sleepy' })
  await subscribe(call, path, ['t'])
  // A call for records that takes longer than that keeps it alive.
  const records = await call('GET', `${path}/records?timeout=5000`)
  expect(records.json).toHaveLength(1)
  expect((await call('GET', `${path}/records?timeout=5000`)).status).toBe(200)
  await expect.poll(() => membersOf(broker, 'g'), { timeout: 20_000 }).toBe(0)
  for (const [method, rest] of [
    ['GET', '/records'],
    ['POST', '/offsets'],
    ['DELETE', ''],
  ]) {
    const gone = await call(method, path + rest)
    expect(gone).toMatchObject({ status: 410, json: { error_code: 41001 } })
    expect(gone.json.message).toContain('POST /consumers/g')
  }
  // What had been asked past was committed.
  expect(committed(broker, 'g', 't', 0)).toBe(1)
  await createInstance(call, 'g', { name: 'sleepy' })
  expect((await call('GET', `${path}/subscription`)).json).toEqual({ topics: [] })
})

test('an instance stays in its group however long nobody asks it, as long as it lives', async () => {
  const { call, broker } = await startRest({
    'group.min.session.timeout.ms': 100,
    'group.max.session.timeout.ms': 1000,
  })
  await put(call, 't', [0], 0)
  const quiet = await createInstance(call, 'g')
  await subscribe(call, quiet, ['t'])
  await expect.poll(() => partitionsOf(call, quiet)).toEqual([0, 1])
  // Several sessions pass while another instance waits.
  const other = await createInstance(call, 'other')
  await subscribe(call, other, ['t'])
  await take(call, other, 1)
  await call('GET', `${other}/records?timeout=3500`)
  expect(broker.parts.services.groups.timeline('g').map(({ kind }) => kind)).not.toContain(
    'expired',
  )
  expect(membersOf(broker, 'g')).toBe(1)
})

test('a pattern takes topics in as they come, and only whole names', async () => {
  const { call } = await startRest({ 'num.partitions': 1 })
  await put(call, 'logs-a', ['a'])
  await put(call, 'other-logs-b', ['no'])
  const path = await createInstance(call, 'g')
  await call('POST', `${path}/subscription`, { body: { topic_pattern: 'logs-.*' } })
  expect((await take(call, path, 1)).map(({ topic }) => topic)).toEqual(['logs-a'])
  await put(call, 'logs-c', ['c'])
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=1000`)).json, { timeout: 30_000 })
    .toMatchObject([{ topic: 'logs-c', value: 'c' }])
  expect((await call('GET', `${path}/subscription`)).json).toEqual({ topics: ['logs-a', 'logs-c'] })
})

test('a pattern that would take for ever is refused in a moment', async () => {
  const { call } = await startRest()
  await put(call, 'a'.repeat(200), [1])
  const path = await createInstance(call, 'g')
  const body = { topic_pattern: '(a+)+b' }
  expect(await call('POST', `${path}/subscription`, { body })).toMatchObject({
    status: 400,
    json: { error_code: 40001 },
  })
})

test('topics and partitions that come later are read as well', async () => {
  const { call, broker } = await startRest({ 'num.partitions': 1 })
  const path = await createInstance(call, 'g')
  await subscribe(call, path, ['later'])
  expect((await call('GET', `${path}/assignments`)).json).toEqual({ partitions: [] })
  expect((await call('GET', `${path}/records?timeout=0`)).json).toEqual([])
  await put(call, 'later', ['first'])
  expect((await take(call, path, 1)).map(({ value }) => value)).toEqual(['first'])
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createPartitions('later', 2)
  await put(call, 'later', ['second'], 1)
  expect((await take(call, path, 1)).map(({ value }) => value)).toEqual(['second'])
})

test('other topics: what stays goes on, the rest is given up', async () => {
  const { call } = await startRest({ 'num.partitions': 1 })
  for (const topic of ['a', 'b']) await put(call, topic, [`${topic}0`])
  const path = await createInstance(call, 'g')
  await subscribe(call, path, ['a'])
  await take(call, path, 1)
  await subscribe(call, path, ['a', 'b'])
  expect((await take(call, path, 1)).map(({ value }) => value)).toEqual(['b0'])
  await subscribe(call, path, ['b'])
  await expect
    .poll(async () => (await call('GET', `${path}/assignments`)).json)
    .toEqual({
      partitions: [at('b', 0)],
    })
  await put(call, 'a', ['a1'])
  await put(call, 'b', ['b1'])
  expect((await take(call, path, 1)).map(({ value }) => value)).toEqual(['b1'])
})

test('a group that works in another way says so', async () => {
  const { call, broker } = await startRest()
  await put(call, 't', [0])
  const { groups } = broker.parts.services
  const caller = { clientId: 'other', clientHost: '/127.0.0.1' }
  const call_ = {
    groupId: 'strange',
    memberId: '',
    groupInstanceId: null,
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 30_000,
    protocolType: 'connect',
    protocols: [{ name: 'sessioned', metadata: new Uint8Array(0) }],
    reason: null,
    knowsMemberIdRequired: false,
    knowsSkipAssignment: false,
  }
  groups.join(call_, caller, () => {})
  const path = await createInstance(call, 'strange')
  await subscribe(call, path, ['t'])
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=200`)).json.error_code)
    .toBe(40903)
  expect((await call('DELETE', path)).status).toBe(204)
})

test('a topic that is deleted under an instance is given up', async () => {
  const { call, broker } = await startRest({ 'num.partitions': 1 })
  for (const topic of ['stays', 'goes']) await put(call, topic, [topic])
  const path = await createInstance(call, 'g')
  await subscribe(call, path, ['stays', 'goes'])
  await take(call, path, 2)
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.deleteTopic('goes')
  await expect
    .poll(async () => (await call('GET', `${path}/assignments`)).json)
    .toEqual({
      partitions: [at('stays', 0)],
    })
  await put(call, 'stays', ['more'])
  expect((await take(call, path, 1)).map(({ value }) => value)).toEqual(['more'])
})

test('closing the broker: instances leave, waiting calls are answered, commits are kept', async () => {
  const { broker, call } = await startRest()
  await put(call, 't', [0], 0)
  const path = await createInstance(call, 'g')
  await subscribe(call, path, ['t'])
  await take(call, path, 1)
  const waiting = call('GET', `${path}/records?timeout=60000`)
  const { groups, committed: offsets } = broker.parts.services
  await expect
    .poll(async () => (await call('GET', `${path}/records?timeout=0`)).json.error_code)
    .toBe(40903)
  await broker.close()
  expect((await waiting).status).toBe(404)
  expect(groups.timeline('g').map(({ kind }) => kind)).toContain('left')
  expect(offsets.get('g', 't', 0)?.offset).toBe(1)
})

test('many instances in many groups each read everything', async () => {
  const { call } = await startRest()
  await put(call, 't', [0, 1, 2], 0)
  await put(call, 't', [3, 4], 1)
  const groups = Array.from({ length: 40 }, (_, index) => `g${index}`)
  const counts = await Promise.all(
    groups.map(async group => {
      const path = await createInstance(call, group)
      await subscribe(call, path, ['t'])
      const records = await take(call, path, 5)
      await call('DELETE', path)
      return records.length
    }),
  )
  expect(counts).toEqual(groups.map(() => 5))
})

test('the base_uri is that of the caller, whatever name it uses', async () => {
  const { broker } = await startRest()
  const call = callOf(broker.httpUrl!.replace('127.0.0.1', 'localhost'))
  const { json } = await call('POST', '/consumers/g', { body: { name: 'a' } })
  expect(json.base_uri).toMatch(/^http:\/\/localhost:\d+\/consumers\/g\/instances\/a$/)
})
