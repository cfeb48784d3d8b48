/** JoinGroup: who comes in, how, and what it does to the group (PROTOCOL.md 3.8, points 1 to 6). */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { momentMs, rebalanceTimeoutMs, Scene, sessionTimeoutMs, settle, textOf } from './scene.ts'

describe('refusals', () => {
  test.each([
    ['an empty group id', { groupId: '' }, Errors.INVALID_GROUP_ID],
    ['a group id of 256 bytes', { groupId: 'ü'.repeat(128) }, Errors.INVALID_GROUP_ID],
    ['an instance id of 256', { groupInstanceId: 'i'.repeat(256) }, Errors.INVALID_REQUEST],
    ['a session that is too short', { sessionTimeoutMs: 5999 }, Errors.INVALID_SESSION_TIMEOUT],
    ['or too long', { sessionTimeoutMs: 1_800_001 }, Errors.INVALID_SESSION_TIMEOUT],
    ['no protocol', { protocols: [] }, Errors.INCONSISTENT_GROUP_PROTOCOL],
    ['no protocol type', { protocolType: '' }, Errors.INCONSISTENT_GROUP_PROTOCOL],
    ['an unknown member id', { memberId: 'x' }, Errors.UNKNOWN_MEMBER_ID],
    ['more metadata than allowed', { metadata: 'x'.repeat(10_000) }, Errors.INVALID_REQUEST],
  ])('%s', (_, options, errorCode) => {
    const scene = new Scene()
    const { answer } = scene.join(options)
    expect(answer).toMatchObject({ errorCode, generation: -1, protocol: null, members: [] })
    expect(scene.coordinator.list()).toEqual([])
    expect(scene.clock.timerCount).toBe(0)
  })

  test('another protocol type, or no common protocol', async () => {
    const scene = new Scene()
    await scene.stable(1, { protocols: ['range', 'sticky'] })
    const refused = { errorCode: Errors.INCONSISTENT_GROUP_PROTOCOL }
    expect(scene.join({ protocolType: 'connect' }).answer).toMatchObject(refused)
    expect(scene.join({ protocols: ['roundrobin'] }).answer).toMatchObject(refused)
    const welcome = { errorCode: Errors.MEMBER_ID_REQUIRED }
    expect(scene.join({ protocols: ['roundrobin', 'sticky'] }).answer).toMatchObject(welcome)
  })

  test('more members than group.max.size', async () => {
    const scene = new Scene({ membersMax: 2 })
    const ids = await scene.stable(2)
    const refused = { errorCode: Errors.GROUP_MAX_SIZE_REACHED }
    expect(scene.join().answer).toMatchObject(refused)
    expect(scene.join({ version: 0 }).answer).toMatchObject(refused)
    expect(scene.state).toBe('Stable')
    // Its members may join again.
    const again = ids.map(memberId => scene.join({ memberId, metadata: 'new' }))
    expect(again.map(({ answer }) => answer?.errorCode)).toEqual([0, 0])
  })

  test('ids for more members than group.max.size, more groups than max.groups', () => {
    const scene = new Scene({ membersMax: 2, groupsMax: 1 })
    const codes = [1, 2, 3].map(() => scene.join().answer?.errorCode)
    const { MEMBER_ID_REQUIRED, GROUP_MAX_SIZE_REACHED } = Errors
    expect(codes).toEqual([MEMBER_ID_REQUIRED, MEMBER_ID_REQUIRED, GROUP_MAX_SIZE_REACHED])
    const other = scene.join({ groupId: 'other', version: 0 })
    expect(other.answer).toMatchObject({ errorCode: GROUP_MAX_SIZE_REACHED })
    expect(scene.warnings).toEqual(['there are 1 groups: new ones are refused (max.groups)'])
  })

  test('more metadata than all groups may keep; what a member gives back can be used again', () => {
    const scene = new Scene({ groupsBytesMax: 3000 })
    const metadata = 'x'.repeat(400)
    const ids = [1, 2].map(() => scene.join({ version: 3, metadata }).answer ?? scene.memberIds[1])
    expect(ids).toHaveLength(2)
    const refused = { errorCode: Errors.GROUP_MAX_SIZE_REACHED }
    expect(scene.join({ version: 3, metadata }).answer).toMatchObject(refused)
    scene.leave(scene.memberIds[0])
    expect(scene.join({ version: 3, metadata }).answer?.errorCode).not.toBe(refused.errorCode)
  })

  test('ids that nobody comes back with take memory, too, until they expire', () => {
    const scene = new Scene({ groupsBytesMax: 3000 })
    const codes = [1, 2, 3, 4].map(() => scene.join().answer?.errorCode)
    const { GROUP_MAX_SIZE_REACHED, MEMBER_ID_REQUIRED } = Errors
    expect(codes.slice(1)).toEqual([
      MEMBER_ID_REQUIRED,
      GROUP_MAX_SIZE_REACHED,
      GROUP_MAX_SIZE_REACHED,
    ])
    scene.clock.advance(sessionTimeoutMs + momentMs)
    expect(scene.join().answer?.errorCode).toBe(MEMBER_ID_REQUIRED)
  })

  test('a store that cannot be read yet', () => {
    const scene = new Scene()
    scene.store.unavailable = Errors.COORDINATOR_LOAD_IN_PROGRESS
    expect(scene.join().answer?.errorCode).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS)
    expect(scene.heartbeat('x', 1)).toBe('COORDINATOR_LOAD_IN_PROGRESS')
  })
})

describe('the first join', () => {
  test('v4 and later get a member id to come back with', () => {
    const scene = new Scene()
    const { answer } = scene.join({ clientId: 'app' })
    expect(answer).toMatchObject({ errorCode: Errors.MEMBER_ID_REQUIRED, memberId: 'app-1' })
    expect(scene.memberIds).toEqual([])
    expect(scene.join({ memberId: 'app-1' }).answer).toMatchObject({
      errorCode: Errors.NONE,
      generation: 1,
      leader: 'app-1',
      memberId: 'app-1',
      protocol: 'range',
      protocolType: 'consumer',
      skipAssignment: false,
    })
  })

  test('earlier ones are in at once', () => {
    const scene = new Scene()
    expect(scene.join({ version: 3 }).answer).toMatchObject({ generation: 1, memberId: 'c-1' })
  })

  test('an id that is not used expires with its session, and with it the trace of the group', () => {
    const scene = new Scene()
    scene.join()
    expect(scene.coordinator.list()).toHaveLength(1)
    scene.clock.advance(sessionTimeoutMs + momentMs)
    expect(scene.coordinator.list()).toEqual([])
    expect(scene.join({ memberId: 'c-1' }).answer?.errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
  })

  test('waits for those who were given an id just now', () => {
    const scene = new Scene()
    scene.join()
    const { call } = scene.enter()
    expect(call.answer).toBeNull()
    const other = scene.join({ memberId: 'c-1' })
    expect([call.answer?.generation, other.answer?.generation]).toEqual([1, 1])
  })

  test('group.initial.rebalance.delay.ms gathers members, longer while more come', () => {
    const scene = new Scene({ initialRebalanceDelayMs: 3000 })
    const first = scene.join({ version: 3 })
    scene.clock.advance(2000)
    const second = scene.join({ version: 3 })
    scene.clock.advance(2000)
    expect([first.answer, second.answer]).toEqual([null, null])
    scene.clock.advance(2000)
    expect([first.answer?.generation, second.answer?.generation]).toEqual([1, 1])
    expect(first.answer?.members.map(({ memberId }) => memberId)).toEqual(['c-1', 'c-2'])
  })

  test('but no longer than the rebalance timeout', () => {
    const scene = new Scene({ initialRebalanceDelayMs: 3000 })
    const first = scene.join({ version: 3, rebalanceTimeoutMs: 7000 })
    for (let waitedMs = 0; waitedMs < 7000; waitedMs += 1000) {
      expect(first.answer).toBeNull()
      scene.clock.advance(1000)
      scene.join({ version: 3, rebalanceTimeoutMs: 7000 })
    }
    expect(first.answer?.generation).toBe(1)
  })

  test('a member that loses its connection meanwhile may come back to the first generation', () => {
    const scene = new Scene({ initialRebalanceDelayMs: 3000 })
    const first = scene.join({ version: 3 })
    const { id, call } = scene.enter()
    call.abandon?.()
    scene.clock.advance(2 * 3000)
    expect([first.answer, scene.memberIds]).toEqual([null, ['c-1', id]])
    const again = scene.join({ memberId: id })
    expect([first.answer?.generation, again.answer?.generation]).toEqual([1, 1])
    expect(first.answer?.members).toHaveLength(2)
  })

  test('and holds up the others no longer than its session timeout', () => {
    const scene = new Scene({ initialRebalanceDelayMs: 3000 })
    const first = scene.join({ version: 3 })
    scene.enter().call.abandon?.()
    scene.clock.advance(sessionTimeoutMs + momentMs)
    expect([first.answer?.generation, scene.memberIds]).toEqual([1, ['c-1']])
  })

  test('nor than the rebalance timeout', () => {
    const scene = new Scene({ initialRebalanceDelayMs: 3000 })
    const timeouts = { sessionTimeoutMs: 60_000, rebalanceTimeoutMs: 9000 }
    const first = scene.join({ version: 3, ...timeouts })
    scene.enter(timeouts).call.abandon?.()
    scene.clock.advance(9000 + momentMs)
    expect([first.answer?.generation, scene.memberIds]).toEqual([1, ['c-1']])
  })
})

describe('the protocol', () => {
  test('is the one most members name first of those that all can do', async () => {
    const scene = new Scene()
    const asked = [
      ['only-a', 'range', 'sticky'],
      ['sticky', 'range', 'only-b'],
      ['sticky', 'range'],
    ]
    const calls = asked.map(protocols => scene.enter({ protocols }))
    const last = scene.join({ memberId: calls[0].id, protocols: asked[0] })
    const answers = [last, calls[1].call, calls[2].call].map(({ answer }) => answer)
    expect(answers.map(answer => answer?.protocol)).toEqual(['sticky', 'sticky', 'sticky'])
    expect(answers.map(answer => answer?.generation)).toEqual([2, 2, 2])
  })

  test('the leader alone is told of the members, with the metadata of that protocol', async () => {
    const scene = new Scene()
    const first = scene.enter({ metadata: 'one' })
    const second = scene.enter({ metadata: 'two' })
    const again = scene.join({ memberId: first.id, metadata: 'three' })
    expect(second.call.answer?.members).toEqual([])
    const members = again.answer?.members.map(({ memberId, metadata }) => [
      memberId,
      textOf(metadata),
    ])
    expect(members).toEqual([
      [first.id, 'three'],
      [second.id, 'two'],
    ])
  })
})

describe('joining again', () => {
  test('a follower that changed nothing is answered at once, without a rebalance', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    const { answer } = scene.join({ memberId: follower })
    expect(answer).toMatchObject({ errorCode: 0, generation, leader, members: [] })
    expect(scene.state).toBe('Stable')
  })

  test('one that did, and the leader always, start a rebalance', async () => {
    for (const [index, metadata] of [
      [1, 'new'],
      [0, 'm'],
    ] as const) {
      const scene = new Scene()
      const ids = await scene.stable(2)
      const { answer } = scene.join({ memberId: ids[index], metadata })
      expect([answer, scene.state]).toEqual([null, 'PreparingRebalance'])
    }
  })

  test('the same while the assignment is awaited: unchanged tells again, changed starts anew', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    expect(scene.state).toBe('CompletingRebalance')
    const waiting = scene.sync(second.id, 2)
    const told = scene.join({ memberId: first.id })
    expect(told.answer).toMatchObject({ generation: 2, leader: first.id })
    expect(told.answer?.members).toHaveLength(2)
    expect(waiting.answer).toBeNull()
    scene.join({ memberId: first.id, metadata: 'new' })
    expect(waiting.answer?.errorCode).toBe(Errors.REBALANCE_IN_PROGRESS)
    expect(scene.state).toBe('PreparingRebalance')
  })

  test('a second JoinGroup of the same member takes the place of the first', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const first = scene.join({ memberId: leader })
    const second = scene.join({ memberId: leader })
    expect(first.answer?.errorCode).toBe(Errors.REBALANCE_IN_PROGRESS)
    // The connection of the first is gone: that must not end the wait of the second.
    first.abandon?.()
    scene.join({ memberId: follower })
    expect(second.answer).toMatchObject({ errorCode: 0, leader })
  })
})

describe('laggards', () => {
  test('a rebalance waits for everybody, for the longest rebalance timeout', async () => {
    const scene = new Scene()
    const [first, second, third] = await scene.stable(3)
    const generation = scene.generation
    const alive = [first, third].map(id => [id, generation] as const)
    const joining = scene.join({ memberId: second, metadata: 'new' })
    scene.join({ memberId: first })
    await scene.pass(rebalanceTimeoutMs - 1000, alive)
    expect(joining.answer).toBeNull()
    await scene.pass(1000 + momentMs, alive)
    expect(joining.answer).toMatchObject({ errorCode: 0, generation: generation + 1 })
    expect(scene.memberIds).toEqual([first, second])
    expect(scene.history).toContain('late')
    expect(scene.heartbeat(third, generation)).toBe('UNKNOWN_MEMBER_ID')
  })

  test('a leader that does not come back is replaced by one who has', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const joining = scene.join({ memberId: follower, metadata: 'new' })
    scene.leave(leader)
    expect(joining.answer).toMatchObject({ leader: follower, memberId: follower })
    expect(joining.answer?.members).toHaveLength(1)
  })

  test('who does not fetch its assignment is dropped after the rebalance timeout', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    scene.sync(first.id, 2)
    await settle()
    expect(scene.state).toBe('Stable')
    await scene.pass(rebalanceTimeoutMs + momentMs, [
      [first.id, 2],
      [second.id, 2],
    ])
    expect(scene.memberIds).toEqual([first.id])
    expect(scene.heartbeat(first.id, 2)).toBe('REBALANCE_IN_PROGRESS')
  })
})
