/** A dispatcher that stands still for longer than the sessions of its members (RELIABILITY row C4). */
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { DescribeGroups } from '../../src/protocol/messages/describe-groups.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { connect, testBroker } from '../broker/fixture.ts'
import { Member } from './wire-kit.ts'

const sessionTimeoutMs = 1000
const stallMs = 3000

/** Stops this thread, which is the dispatcher's, before its timers run and not before its sockets are read. */
function stall(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(() => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs)
      resolve()
    })
  })
}

test('whoever sent heartbeats meanwhile is still a member, whoever did not expires', async () => {
  const broker = await testBroker({ set: { 'group.min.session.timeout.ms': 100 } })
  const alive = new Member(await connect(broker), 'g')
  const silent = new Member(await connect(broker), 'g')
  await alive.join({ sessionTimeoutMs: 60_000 })
  const joining = silent.join({ sessionTimeoutMs })
  await expect.poll(() => alive.heartbeat()).toBe(Errors.REBALANCE_IN_PROGRESS)
  await Promise.all([alive.join({ sessionTimeoutMs }), joining])
  await Promise.all([alive.sync({ [alive.memberId]: 'a' }), silent.sync()])

  // They lie in the socket when the timers of both sessions fire.
  const beat = { schema: Heartbeat, version: 4, message: alive.heartbeatRequest() }
  const beats = alive.client.pipeline([beat, beat, beat])
  await stall()
  const codes = (await beats).map(({ errorCode }) => errorCode)
  expect(codes).toEqual([Errors.NONE, Errors.NONE, Errors.NONE])

  const members = async () => {
    const asked = { groups: ['g'], includeAuthorizedOperations: false }
    const { groups } = await silent.client.request(DescribeGroups, 5, asked)
    return groups[0].members.map(({ memberId }) => memberId)
  }
  expect(await members()).toContain(alive.memberId)
  await expect.poll(members).not.toContain(silent.memberId)
})
