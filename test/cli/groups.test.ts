/** `odradek groups` as a process against a real broker, with members over raw sockets that do what the test says. */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { encodeAssignment } from '../../src/client/group-protocol.ts'
import { Producer } from '../../src/client/producer.ts'
import { SyncGroup } from '../../src/protocol/messages/sync-group.ts'
import { Member } from '../groups/wire-kit.ts'
import { freePort } from '../support/free-port.ts'
import { WireClient } from '../support/wire-client.ts'
import { runCli } from './run-cli.ts'

/** A bound for what must come, not an expectation of when. */
const patience = { timeout: 30_000 }

let broker: Broker
let admin: Admin
beforeAll(async () => {
  const set = { 'group.min.session.timeout.ms': 500 }
  broker = await startBroker({ logLevel: 'silent', set })
  admin = new Admin({ bootstrap: broker.bootstrap })
})
afterAll(async () => {
  await admin?.close()
  await broker?.close()
})

async function groups(command: string) {
  const at = ['--bootstrap', broker.bootstrap, '--admin', broker.httpUrl ?? '']
  const { code, stdout, stderr } = await runCli(['groups', ...command.split(' '), ...at])
  return { code, stdout: String(stdout), stderr }
}

/** Must succeed and say nothing on stderr. */
async function printed(command: string): Promise<string> {
  const { code, stdout, stderr } = await groups(command)
  expect({ command, stderr, code }).toEqual({ command, stderr: '', code: 0 })
  return stdout
}

/** Must fail with one line. */
async function refused(command: string): Promise<string> {
  const { code, stdout, stderr } = await groups(command)
  expect({ command, stdout, code }).toEqual({ command, stdout: '', code: 1 })
  expect(stderr).toMatch(/^odradek: .*\n$/)
  return stderr
}

async function newMember(groupId: string, version = 9): Promise<Member> {
  const client = await WireClient.connect(broker.bootstrap)
  onTestFinished(() => client.close())
  return new Member(client, groupId, version)
}

/** The leader gives these partitions to itself. */
async function syncAlone(member: Member, topic: string, partitions: number[]): Promise<void> {
  const answer = await member.client.request(SyncGroup, 5, {
    groupId: member.groupId,
    generationId: member.generation,
    memberId: member.memberId,
    groupInstanceId: member.instanceId,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments: [
      {
        memberId: member.memberId,
        assignment: Buffer.from(encodeAssignment(new Map([[topic, partitions]]))),
      },
    ],
  })
  expect(answer.errorCode).toBe(0)
}

let topics = 0
/** A topic whose partition p holds 10 * (p + 1) records, a second apart from 2024-01-01 on. */
async function newTopic(partitions: number): Promise<string> {
  const name = `clicks-${++topics}`
  await admin.createTopic({ name, partitions })
  await using producer = new Producer({ bootstrap: broker.bootstrap })
  for (let partition = 0; partition < partitions; partition++) {
    const messages = Array.from({ length: 10 * (partition + 1) }, (_, i) => ({
      value: `${i}`,
      partition,
      timestampMs: Date.UTC(2024, 0, 1) + i * 1000,
    }))
    await producer.send(name, messages)
  }
  return name
}

const committedOf = async (groupId: string, topic: string) =>
  Object.fromEntries((await admin.groups.committed(groupId)).get(topic) ?? [])

describe('list', () => {
  test('all groups, or those in some states', async () => {
    const topic = await newTopic(1)
    await admin.groups.commit('list-simple', [{ topic, partition: 0, offset: 1 }])
    const member = await newMember('list-members')
    await member.join()
    await member.sync()
    const all = await printed('list')
    expect(all).toMatch(/^GROUP +STATE +PROTOCOL\n/)
    expect(all).toMatch(/^list-simple +Empty +-$/m)
    expect(all).toMatch(/^list-members +Stable +consumer$/m)
    const stable = await printed('list --state stable')
    expect(stable).toContain('list-members')
    expect(stable).not.toContain('list-simple')
    expect(JSON.parse(await printed('list --state Empty,Dead --json'))).toContainEqual({
      groupId: 'list-simple',
      state: 'Empty',
      protocolType: '',
    })
  })
})

describe('describe', () => {
  test('members, what they read, and where the group stands', async () => {
    const topic = await newTopic(3)
    const member = await newMember('described')
    await member.join()
    await syncAlone(member, topic, [0, 1])
    await member.leave()
    await admin.groups.commit('described', [
      { topic, partition: 0, offset: 4 },
      { topic, partition: 2, offset: 30 },
    ])
    member.memberId = ''
    await member.join()
    await syncAlone(member, topic, [0, 1])
    const id = member.memberId
    const text = await printed('describe described')
    const [node] = (await admin.groups.describe('described')).coordinator.nodeId.toString()
    expect(text.split('\n').map(line => line.replaceAll(/ {2,}/g, '  '))).toEqual([
      `described: Stable, 1 member, assignor range, lag 6, coordinator ${node} at ${broker.bootstrap}`,
      '',
      'MEMBER  INSTANCE  CLIENT  HOST  ASSIGNED',
      expect.stringMatching(`^${id}  -  \\S+  127.0.0.1  ${topic} 0-1$`),
      '',
      'TOPIC  PARTITION  COMMITTED  END  LAG  MEMBER',
      `${topic}  0  4  10  6  ${id}`,
      `${topic}  1  -  20  -  ${id}`,
      `${topic}  2  30  30  0  -`,
      '',
    ])
    expect(JSON.parse(await printed('describe described --json'))).toMatchObject({
      groupId: 'described',
      state: 'Stable',
      protocolType: 'consumer',
      assignor: 'range',
      coordinator: { host: '127.0.0.1' },
      members: [{ memberId: id, assignment: [{ topic, partitions: [0, 1] }] }],
      offsets: [
        { topic, partition: 0, committed: 4, logStart: 0, logEnd: 10, lag: 6, memberId: id },
        { partition: 1, committed: null, logEnd: 20, lag: null, memberId: id },
        { partition: 2, committed: 30, logEnd: 30, lag: 0, memberId: null },
      ],
    })
  })

  test('what the client said cannot steer the terminal', async () => {
    const member = await newMember('\u001b[31mred')
    await member.join({ groupInstanceId: 'a\u001b[2Jb' })
    const { stdout } = await groups('list')
    expect(stdout).toContain('?[31mred')
    const { stdout: text } = await runCli([
      'groups',
      'describe',
      '\u001b[31mred',
      '--bootstrap',
      broker.bootstrap,
    ])
    expect(String(text)).toContain('a?[2Jb')
    expect(stdout + String(text)).not.toContain('\u001b')
  })

  test('a group that does not exist', async () => {
    expect(await refused('describe nosuch')).toBe('odradek: group nosuch does not exist\n')
    expect(await refused('describe nosuch --timeline')).toContain('group nosuch does not exist')
  })
})

describe('describe --timeline', () => {
  test('who joined, was late, expired or was fenced, and which setting decided', async () => {
    const silent = await newMember('story')
    await silent.join({ sessionTimeoutMs: 700 })
    await silent.sync()
    await expect
      .poll(() => admin.groups.describe('story').then(({ state }) => state), patience)
      .toBe('Empty')
    expect(await silent.heartbeat()).not.toBe(0)
    const first = await newMember('story')
    first.instanceId = 'one'
    await first.join()
    await first.sync()
    const second = await newMember('story')
    second.instanceId = 'one'
    await second.join()
    await second.leave()
    const text = await printed('describe story --timeline')
    const [, table] = text.split(/\n\n(?=TIME)/)
    expect(table).toMatch(/^TIME +EVENT +GEN +MEMBER +AFTER +WHAT +DECIDED BY\n/)
    const rows = table.trimEnd().split('\n').slice(1)
    const row = (event: string) => rows.find(line => line.includes(`Z  ${event} `))
    expect(row('joined')).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {2}joined +0 .*-[0-9a-f]{8} /,
    )
    expect(row('expired')).toMatch(/was not heard of +session\.timeout\.ms=700$/)
    expect(row('returned')).toMatch(/\d m?s +is alive: .* session\.timeout\.ms=700$/)
    expect(row('fenced')).toMatch(/ one-[0-9a-f]{8} .* group\.instance\.id=one$/)
    expect(row('replaced')).toContain('takes over from one-')
    expect(row('left')).toContain('left')
    const { timeline } = JSON.parse(await printed('describe story --timeline --json')) as {
      timeline: Record<string, unknown>[]
    }
    expect(timeline.map(({ event }) => event)).toEqual(rows.map(line => line.split(/ {2,}/)[1]))
    expect(timeline).toContainEqual({
      time: expect.stringMatching(/Z$/),
      event: 'expired',
      generation: 1,
      memberId: silent.memberId,
      groupInstanceId: null,
      clientId: expect.any(String),
      clientHost: '/127.0.0.1',
      detail: 'was not heard of',
      decidedBy: 'session.timeout.ms=700',
      elapsedMs: null,
      times: 1,
    })
  })

  test('of a group that nobody has joined is empty, and says so', async () => {
    const topic = await newTopic(1)
    await admin.groups.commit('quiet', [{ topic, partition: 0, offset: 1 }])
    expect(await printed('describe quiet --timeline')).toMatch(/\n\nno events: nobody has joined/)
  })

  test('needs the HTTP address of the same broker', async () => {
    const topic = await newTopic(1)
    await admin.groups.commit('told', [{ topic, partition: 0, offset: 1 }])
    const other = await startBroker({ logLevel: 'silent' })
    onTestFinished(() => other.close())
    const ask = async (url: string) => {
      const at = ['--bootstrap', broker.bootstrap, '--admin', url]
      const { code, stdout, stderr } = await runCli([
        'groups',
        'describe',
        'told',
        '--timeline',
        ...at,
      ])
      expect({ code, stdout: String(stdout) }).toEqual({ code: 1, stdout: '' })
      return stderr
    }
    const cure = `give --admin URL, the HTTP address of the broker at ${broker.bootstrap}\n`
    const { httpUrl } = other
    expect(await ask(httpUrl ?? '')).toBe(
      `odradek: the broker at ${httpUrl} does not know group told: ${cure}`,
    )
    await using elsewhere = new Admin({ bootstrap: other.bootstrap })
    await elsewhere.createTopic({ name: topic })
    await elsewhere.groups.commit('told', [{ topic, partition: 0, offset: 1 }])
    expect(await ask(httpUrl ?? '')).toBe(
      `odradek: the broker at ${httpUrl} is another one, it has a group told, too: ${cure}`,
    )
    const nobody = `http://127.0.0.1:${await freePort()}`
    expect(await ask(nobody)).toMatch(
      `odradek: no broker reached at ${nobody} (connect ECONNREFUSED`,
    )
    // A port that does not speak HTTP, or not ours.
    expect(await ask(`http://${broker.bootstrap}`)).toContain('--admin URL')
  })
})

describe('delete', () => {
  test('empty groups, with what they have committed', async () => {
    const topic = await newTopic(1)
    for (const group of ['gone-1', 'gone-2']) {
      await admin.groups.commit(group, [{ topic, partition: 0, offset: 1 }])
    }
    expect(await printed('delete gone-1 gone-2')).toBe('deleted gone-1\ndeleted gone-2\n')
    expect(await admin.groups.find('gone-1')).toBeNull()
    await admin.groups.commit('gone-1', [{ topic, partition: 0, offset: 1 }])
    expect(JSON.parse(await printed('delete gone-1 --json'))).toEqual({ deleted: 'gone-1' })
  })

  test('one with members is refused, and names them; the others go', async () => {
    const topic = await newTopic(1)
    await admin.groups.commit('free', [{ topic, partition: 0, offset: 1 }])
    const member = await newMember('busy')
    await member.join()
    await member.sync()
    const { code, stdout, stderr } = await groups('delete busy nosuch free')
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'deleted free\n' })
    expect(stderr).toMatch(
      /^odradek: group busy has 1 member \(\S+ at 127\.0\.0\.1\): stop it first, then delete it; group nosuch does not exist\n$/,
    )
    await member.leave()
    expect(await printed('delete busy')).toBe('deleted busy\n')
  })
})

describe('reset', () => {
  test('to the ends, an offset, a time, or by so many', async () => {
    const topic = await newTopic(3)
    const to = async (where: string) => {
      await printed(`reset movable --topic ${topic} ${where}`)
      return await committedOf('movable', topic)
    }
    expect(await to('--to latest')).toEqual({ 0: 10, 1: 20, 2: 30 })
    expect(await to('--to earliest')).toEqual({ 0: 0, 1: 0, 2: 0 })
    expect(await to('--to 7')).toEqual({ 0: 7, 1: 7, 2: 7 })
    expect(await to('--shift-by -3')).toEqual({ 0: 4, 1: 4, 2: 4 })
    expect(await to('--shift-by 8')).toEqual({ 0: 10, 1: 12, 2: 12 })
    expect(await to('--to 2024-01-01T00:00:15Z')).toEqual({ 0: 10, 1: 15, 2: 15 })
    await printed(`reset movable --topic ${topic}:2,0 --to beginning`)
    expect(await committedOf('movable', topic)).toEqual({ 0: 0, 1: 15, 2: 0 })
    await printed(`reset movable --all-topics --shift-by 1`)
    expect(await committedOf('movable', topic)).toEqual({ 0: 1, 1: 16, 2: 1 })
  })

  test('shows before and after, and what had to give way', async () => {
    const topic = await newTopic(2)
    await admin.groups.commit('shown', [{ topic, partition: 1, offset: 3 }])
    const columns = (text: string) => text.replaceAll(/ {2,}/g, '  ')
    expect(columns(await printed(`reset shown --topic ${topic} --to 15 --dry-run`))).toBe(
      [
        'TOPIC  PARTITION  BEFORE  AFTER  LOG  NOTE',
        `${topic}  0  -  ->  10  0 to 10  15 is beyond the end of the log`,
        `${topic}  1  3  ->  15  0 to 20`,
        'dry run: 2 offsets not changed\n',
      ].join('\n'),
    )
    expect(await committedOf('shown', topic)).toEqual({ 1: 3 })
    const late = '2024-01-01T00:00:15.500Z'
    expect(JSON.parse(await printed(`reset shown --topic ${topic} --to ${late} --json`))).toEqual({
      groupId: 'shown',
      created: false,
      dryRun: false,
      offsets: [
        {
          topic,
          partition: 0,
          before: null,
          after: 10,
          logStart: 0,
          logEnd: 10,
          note: 'no record from then on: the end',
        },
        { topic, partition: 1, before: 3, after: 16, logStart: 0, logEnd: 20, note: null },
      ],
    })
    expect(await printed(`reset unheard --topic ${topic} --to 1 --dry-run`)).toMatch(
      /^group unheard does not exist, it would be made\n/,
    )
    expect(await admin.groups.find('unheard')).toBeNull()
    expect(await printed(`reset unheard --topic ${topic} --to 1`)).toMatch(
      /^group unheard is new\n/,
    )
    expect(await committedOf('unheard', topic)).toEqual({ 0: 1, 1: 1 })
  })

  test('is refused while the group has members, and when there is nothing to do', async () => {
    const topic = await newTopic(1)
    const member = await newMember('held')
    await member.join()
    await member.sync()
    expect(await refused(`reset held --topic ${topic} --to earliest`)).toMatch(
      /group held has 1 member \(\S+ at 127\.0\.0\.1\): stop it first, then reset it\n$/,
    )
    expect(await refused(`reset held --topic ${topic} --to earliest --dry-run`)).toMatch('1 member')
    await expect(admin.groups.commit('held', [{ topic, partition: 0, offset: 0 }])).rejects.toThrow(
      'group held has members again, nothing was changed: stop them first',
    )
    await member.leave()
    await printed(`reset held --topic ${topic} --to 2`)
    expect(await refused('reset unknown --all-topics --to latest')).toContain(
      'group unknown has no committed offsets: give --topic TOPIC[:P,P]',
    )
    expect(await refused(`reset unknown --topic ${topic} --shift-by 1`)).toContain(
      `${topic}-0: nothing is committed that --shift-by could shift; give --to`,
    )
    expect(await refused('reset held --topic nosuch --to 1')).toContain(
      'topic nosuch does not exist',
    )
    const { code, stderr } = await groups(`reset held --topic ${topic}:0,7 --to 1`)
    expect(code).toBe(2)
    expect(stderr).toContain(`--topic ${topic}:7: topic ${topic} has partitions 0 to 0`)
    expect(await committedOf('held', topic)).toEqual({ 0: 2 })
  })
})
