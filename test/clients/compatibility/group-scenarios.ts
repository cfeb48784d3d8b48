/** The scenarios of consumer groups; scenarios.ts has the list. */
import assert from 'node:assert/strict'
import { Errors } from '../../../src/protocol/errors.ts'
import { checkRefused, haveRead, numbersFrom, settled, valuesOf } from './checks.ts'
import type { Scenario, Stage, TestMember } from './stage.ts'

/** Long enough for clients that send heartbeats only between long polls of 5 s. */
const sessionTimeoutMs = 10_000
const groupPartitions = 8

/**
 * A settled group reads new records: each exactly once, by the member that has the partition. Not so the very first:
 * some clients deliver what a fetch brings that was under way when a partition went to somebody else.
 */
async function checkGroupReads(
  stage: Stage,
  topic: string,
  members: readonly TestMember[],
): Promise<void> {
  await stage.fill(topic, groupPartitions, 0, 80)
  await haveRead(members, 80)
  await stage.fill(topic, groupPartitions, 80, 160)
  await haveRead(members, 160)
  const later = members.map(({ records }) => records.filter(one => Number(one.value) >= 80))
  assert.deepEqual(valuesOf(later.flat()), numbersFrom(80, 160), 'each record once')
  for (const [i, { assignment }] of members.entries()) {
    assert.ok(later[i].every(({ partition }) => assignment.includes(partition)))
  }
}

const groupOfThree: Scenario = {
  id: 'group',
  title: 'a group of three shares eight partitions',
  needs: ['group'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(groupPartitions)
    const groupId = `group-of-${topic}`
    const members = await Promise.all([1, 2, 3].map(() => stage.member({ groupId, topic })))
    await settled(members, groupPartitions)
    await checkGroupReads(stage, topic, members)
    const describes = stage.can('describeGroup')
    if (describes) {
      assert.deepEqual(await client.describeGroup({ groupId }), { state: 'Stable', members: 3 })
    }
    await Promise.all(members.map(member => member.stop()))
    if (describes) {
      assert.deepEqual(await client.describeGroup({ groupId }), { state: 'Empty', members: 0 })
    }
  },
}

const memberDies: Scenario = {
  id: 'group-member-dies',
  title: 'a member is killed, the others take over',
  needs: ['group'],
  async run(stage) {
    const topic = await stage.topic(groupPartitions)
    const args = { groupId: `group-of-${topic}`, topic, sessionTimeoutMs }
    const members = await Promise.all([1, 2, 3].map(() => stage.member(args)))
    await settled(members, groupPartitions)
    await members[0].kill()
    await settled(members.slice(1), groupPartitions)
    await checkGroupReads(stage, topic, members.slice(1))
  },
}

const memberJoins: Scenario = {
  id: 'group-member-joins',
  title: 'a member joins and gets its share',
  needs: ['group'],
  async run(stage) {
    const topic = await stage.topic(groupPartitions)
    const args = { groupId: `group-of-${topic}`, topic }
    const members = [await stage.member(args), await stage.member(args)]
    await settled(members, groupPartitions)
    members.push(await stage.member(args))
    await settled(members, groupPartitions)
    await checkGroupReads(stage, topic, members)
  },
}

const staticMember: Scenario = {
  id: 'group-static-member',
  title: 'a static member restarts without a rebalance',
  needs: ['group', 'staticMember'],
  async run(stage) {
    const topic = await stage.topic(groupPartitions)
    const args = { groupId: `group-of-${topic}`, topic }
    const one = await stage.member({ ...args, instanceId: 'one' })
    const two = await stage.member({ ...args, instanceId: 'two' })
    await settled([one, two], groupPartitions)
    const { rebalances, assignment } = one
    const before = two.assignment
    await two.kill()
    const again = await stage.member({ ...args, instanceId: 'two' })
    await settled([one, again], groupPartitions)
    await checkGroupReads(stage, topic, [one, again])
    assert.deepEqual(again.assignment, before, 'it has what it had')
    assert.deepEqual([one.rebalances, one.assignment], [rebalances, assignment], 'no rebalance')
  },
}

const resume: Scenario = {
  id: 'commit-restart-resume',
  title: 'commit, restart the broker, resume at the committed offset',
  needs: ['group'],
  async run(stage) {
    await stage.client()
    const topic = await stage.topic(groupPartitions)
    const groupId = `group-of-${topic}`
    const commits = stage.can('commit')
    const args = { groupId, topic, ...(commits ? { autoCommit: false as const } : {}) }
    const first = await stage.member(args)
    await stage.fill(topic, groupPartitions, 0, 80)
    await haveRead([first], 80)
    if (commits) {
      await first.commit()
      await stage.fill(topic, groupPartitions, 80, 100)
      await haveRead([first], 100)
      await first.stop()
    } else {
      await first.stop()
      await stage.fill(topic, groupPartitions, 80, 100)
    }
    await stage.restartBroker('stop')
    const second = await stage.member(args)
    await haveRead([second], 20)
    await stage.fill(topic, groupPartitions, 100, 108)
    await haveRead([second], 28)
    assert.deepEqual(valuesOf(second.records), numbersFrom(80, 108), 'what was not committed, once')
    await second.stop()
  },
}

const brokerDies: Scenario = {
  id: 'broker-dies',
  title: 'the broker is killed and started again, producer and members go on',
  needs: ['group'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(groupPartitions)
    const args = { groupId: `group-of-${topic}`, topic, outlivesBroker: true as const }
    const members = [await stage.member(args), await stage.member(args)]
    await settled(members, groupPartitions)
    const records = numbersFrom(0, 160).map(i => ({
      partition: i % groupPartitions,
      key: null,
      value: Buffer.from(`${i}`),
    }))
    await client.produce({ topic, acks: -1, records: records.slice(0, 80) })
    await haveRead(members, 80)
    await stage.restartBroker('kill9')
    await client.produce({ topic, acks: -1, records: records.slice(80) })
    await haveRead(members, 160)
  },
}

export const deleteGroup: Scenario = {
  id: 'delete-group',
  title: 'delete a group, but not one in use',
  needs: ['group', 'deleteGroup'],
  async run(stage) {
    const client = await stage.client()
    const topic = await stage.topic(groupPartitions)
    const groupId = `group-of-${topic}`
    const member = await stage.member({ groupId, topic })
    await settled([member], groupPartitions)
    await checkRefused(
      client.deleteGroup({ groupId }),
      Errors.NON_EMPTY_GROUP,
      /non.?empty|not empty/i,
    )
    await member.stop()
    assert.ok((await client.listGroups({})).includes(groupId), 'it is listed')
    await client.deleteGroup({ groupId })
    assert.ok(!(await client.listGroups({})).includes(groupId), 'it is gone')
  },
}

export const groupScenarios: readonly Scenario[] = [
  groupOfThree,
  memberDies,
  memberJoins,
  staticMember,
  resume,
  brokerDies,
]
