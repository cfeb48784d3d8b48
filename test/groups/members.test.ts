/** SyncGroup, Heartbeat, LeaveGroup, commits and the end of members (PROTOCOL.md 3.8, points 7 to 10). */
import { describe, expect, test } from 'vitest'
import { newMemberTimeoutMs } from '../../src/groups/group.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { momentMs, Scene, sessionTimeoutMs, settle, textOf } from './scene.ts'

describe('sync', () => {
  test('followers wait for the leader, who waits until the assignment is kept', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    scene.store.isHeld = true
    const follower = scene.sync(second.id, 2)
    const leader = scene.sync(first.id, 2, { [first.id]: 'a', [second.id]: 'b', ghost: 'c' })
    await settle()
    expect([follower.answer, leader.answer]).toEqual([null, null])
    expect(scene.state).toBe('CompletingRebalance')
    scene.store.release()
    await settle()
    const parts = [leader, follower].map(({ answer }) => textOf(answer?.assignment))
    expect(parts).toEqual(['a', 'b'])
    expect(follower.answer).toMatchObject({ protocolType: 'consumer', protocol: 'range' })
    const kept = scene.store.groups.get('g')
    expect(kept).toMatchObject({ generation: 2, protocol: 'range', leader: first.id })
    expect(kept?.members.map(({ memberId, assignment }) => [memberId, textOf(assignment)])).toEqual(
      [
        [first.id, 'a'],
        [second.id, 'b'],
      ],
    )
  })

  test('who is not in the assignment gets no bytes; later ones are answered at once', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    scene.sync(first.id, 2, { [first.id]: 'a' })
    await settle()
    expect(scene.sync(second.id, 2).answer).toMatchObject({ errorCode: 0 })
    expect(textOf(scene.sync(second.id, 2).answer?.assignment)).toBe('')
    expect(textOf(scene.sync(first.id, 2).answer?.assignment)).toBe('a')
  })

  test('is refused to strangers, of other generations, of other protocols, in a rebalance', async () => {
    const scene = new Scene()
    const [leader] = await scene.stable(2)
    const generation = scene.generation
    const code = (memberId: string, of: number) => scene.sync(memberId, of).answer?.errorCode
    expect(code('x', generation)).toBe(Errors.UNKNOWN_MEMBER_ID)
    expect(code(leader, generation - 1)).toBe(Errors.ILLEGAL_GENERATION)
    const ref = { groupId: 'g', memberId: leader, groupInstanceId: null, generation }
    const codes: number[] = []
    for (const names of [
      { protocolType: 'connect', protocol: 'range' },
      { protocolType: 'consumer', protocol: 'sticky' },
      { protocolType: 'consumer', protocol: 'range' },
    ]) {
      scene.coordinator.sync({ ...ref, ...names, assignments: [] }, ({ errorCode }) =>
        codes.push(errorCode),
      )
    }
    const { INCONSISTENT_GROUP_PROTOCOL } = Errors
    expect(codes).toEqual([INCONSISTENT_GROUP_PROTOCOL, INCONSISTENT_GROUP_PROTOCOL, 0])
    scene.join({ memberId: leader })
    expect(code(leader, generation)).toBe(Errors.REBALANCE_IN_PROGRESS)
    const elsewhere = { ...ref, groupId: 'other', protocolType: null, protocol: null }
    scene.coordinator.sync({ ...elsewhere, assignments: [] }, ({ errorCode }) =>
      expect(errorCode).toBe(Errors.UNKNOWN_MEMBER_ID),
    )
  })

  test('when the assignment cannot be kept everybody is told and joins again', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    scene.store.code = Errors.COORDINATOR_NOT_AVAILABLE
    const calls = [scene.sync(second.id, 2), scene.sync(first.id, 2, { [first.id]: 'a' })]
    await settle()
    const codes = calls.map(({ answer }) => answer?.errorCode)
    expect(codes).toEqual([Errors.COORDINATOR_NOT_AVAILABLE, Errors.COORDINATOR_NOT_AVAILABLE])
    expect(scene.state).toBe('PreparingRebalance')
    expect(scene.warnings).toHaveLength(1)
    expect(scene.history).toContain('failed')
    for (const id of [first.id, second.id]) scene.join({ memberId: id })
    expect(await syncError(3)).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    expect(scene.warnings).toHaveLength(1)
    scene.store.code = Errors.NONE
    for (const id of [first.id, second.id]) scene.join({ memberId: id })
    expect(await syncError(4)).toBe(Errors.NONE)

    async function syncError(generation: number): Promise<number | undefined> {
      const call = scene.sync(first.id, generation)
      await settle()
      return call.answer?.errorCode
    }
  })

  test('a rebalance that begins while the assignment is written wins', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    scene.store.isHeld = true
    const leader = scene.sync(first.id, 2, { [first.id]: 'a' })
    scene.leave(second.id)
    expect(leader.answer?.errorCode).toBe(Errors.REBALANCE_IN_PROGRESS)
    const rejoined = scene.join({ memberId: first.id })
    expect(rejoined.answer?.generation).toBe(3)
    scene.store.release()
    await settle()
    expect(scene.state).toBe('CompletingRebalance')
    expect(leader.answers).toBe(1)
  })
})

describe('heartbeat', () => {
  test('in every state', async () => {
    const scene = new Scene()
    expect(scene.heartbeat('x', 1)).toBe('UNKNOWN_MEMBER_ID')
    const first = scene.enter()
    const second = scene.enter()
    expect(scene.heartbeat(first.id, 1)).toBe('REBALANCE_IN_PROGRESS')
    scene.join({ memberId: first.id })
    expect(scene.heartbeat(first.id, 2)).toBe('NONE')
    scene.sync(first.id, 2)
    await settle()
    expect(scene.heartbeat(second.id, 2)).toBe('NONE')
    expect(scene.heartbeat(second.id, 1)).toBe('ILLEGAL_GENERATION')
    expect(scene.heartbeat('x', 2)).toBe('UNKNOWN_MEMBER_ID')
    scene.leave(first.id, second.id)
    expect(scene.state).toBe('Empty')
    expect(scene.heartbeat(second.id, 3)).toBe('UNKNOWN_MEMBER_ID')
  })

  test('keeps a member; without, it expires after its session timeout', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    await scene.pass(5 * sessionTimeoutMs, [
      [leader, generation],
      [follower, generation],
    ])
    expect(scene.memberIds).toHaveLength(2)
    await scene.pass(sessionTimeoutMs - 1, [[leader, generation]])
    expect(scene.memberIds).toHaveLength(2)
    await scene.pass(momentMs, [[leader, generation]])
    expect(scene.memberIds).toEqual([leader])
    expect(scene.heartbeat(leader, generation)).toBe('REBALANCE_IN_PROGRESS')
    const expired = scene.coordinator.timeline('g').find(({ kind }) => kind === 'expired')
    expect(expired).toMatchObject({
      memberId: follower,
      clientId: 'c',
      clientHost: '/127.0.0.1',
      decidedBy: `session.timeout.ms=${sessionTimeoutMs}`,
    })
  })

  test('who is parked needs none; a new member has five minutes', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2, { rebalanceTimeoutMs: 900_000 })
    const generation = scene.generation
    const options = { rebalanceTimeoutMs: 900_000 }
    const waiting = scene.join({ ...options, memberId: leader })
    const newcomer = scene.enter(options)
    await scene.pass(newMemberTimeoutMs - 1000, [[follower, generation]])
    expect([waiting.answer, newcomer.call.answer]).toEqual([null, null])
    await scene.pass(1000 + momentMs, [[follower, generation]])
    expect(newcomer.call.answer?.errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
    expect(waiting.answer).toBeNull()
    scene.join({ ...options, memberId: follower })
    expect(waiting.answer?.errorCode).toBe(0)
  })

  test('is owed from the moment the join is answered', async () => {
    const scene = new Scene()
    const first = scene.enter()
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(first.call.answer?.errorCode).toBe(0)
    expect(scene.memberIds).toEqual([])
  })

  test('while a call is parked does not start the clock', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    const waiting = scene.join({ memberId: leader })
    expect(scene.heartbeat(leader, generation)).toBe('REBALANCE_IN_PROGRESS')
    await scene.pass(2 * sessionTimeoutMs, [[follower, generation]])
    scene.join({ memberId: follower })
    expect(waiting.answer?.errorCode).toBe(0)
  })

  test('the wall clock may jump: nobody expires', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    scene.clock.wall += 10 * 365 * 86_400_000
    await scene.pass(1000)
    scene.clock.wall = 0
    await scene.pass(1000)
    expect(scene.memberIds).toEqual([id])
  })

  test('a process that stood still hears its members first', async () => {
    const scene = new Scene()
    const ids = await scene.stable(3)
    const generation = scene.generation
    scene.stall(10 * sessionTimeoutMs)
    expect(scene.memberIds).toEqual(ids)
    // What was sent meanwhile is read now; who is dead stays silent.
    scene.heartbeat(ids[0], generation)
    scene.heartbeat(ids[1], generation)
    await scene.pass(sessionTimeoutMs - 1000, [
      [ids[0], generation],
      [ids[1], generation],
    ])
    expect(scene.memberIds).toEqual(ids)
    await scene.pass(2000, [
      [ids[0], generation],
      [ids[1], generation],
    ])
    expect(scene.memberIds).toEqual([ids[0], ids[1]])
  })

  test('a short stall at the wrong moment ends nobody either', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    await scene.pass(sessionTimeoutMs - 1)
    scene.stall(2)
    expect(scene.heartbeat(id, scene.generation)).toBe('NONE')
    await scene.pass(sessionTimeoutMs - 1)
    expect(scene.memberIds).toEqual([id])
  })
})

describe('leave', () => {
  test('ends a member, a pending one, and says of strangers that they are', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const pending = scene.join().answer?.memberId ?? ''
    expect(scene.leave(follower, 'x', pending)).toEqual(['NONE', 'UNKNOWN_MEMBER_ID', 'NONE'])
    expect(scene.memberIds).toEqual([leader])
    expect(scene.state).toBe('PreparingRebalance')
    expect(scene.leave(leader)).toEqual(['NONE'])
    expect(scene.state).toBe('Empty')
    expect(
      scene.coordinator.leave('other', [{ memberId: 'x', groupInstanceId: null, reason: '' }]),
    ).toEqual({ errorCode: 0, rows: [Errors.UNKNOWN_MEMBER_ID] })
    expect(scene.coordinator.leave('', [])).toMatchObject({ errorCode: Errors.INVALID_GROUP_ID })
  })

  test('of somebody who was only given an id, or who lets it expire, ends the wait for it', async () => {
    const scene = new Scene()
    const pending = scene.join().answer?.memberId ?? ''
    const { call } = scene.enter()
    expect(call.answer).toBeNull()
    scene.leave(pending)
    expect(call.answer?.generation).toBe(1)
    scene.join()
    const again = scene.enter({ sessionTimeoutMs: 20_000 })
    scene.join({ memberId: 'c-2' })
    expect(again.call.answer).toBeNull()
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(again.call.answer?.generation).toBe(2)
  })

  test('answers what the member had parked, and lets the others go on', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const parked = scene.join({ memberId: leader })
    scene.leave(leader)
    expect(parked.answer?.errorCode).toBe(Errors.UNKNOWN_MEMBER_ID)
    expect(scene.join({ memberId: follower }).answer).toMatchObject({ leader: follower })
  })

  test('a group that turned empty is kept so', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    scene.clock.advance(5000)
    scene.leave(id)
    await settle()
    const generation = 2
    expect(scene.store.groups.get('g')).toEqual({
      groupId: 'g',
      protocolType: 'consumer',
      generation,
      protocol: null,
      leader: null,
      stateTimestampMs: scene.clock.wall,
      members: [],
    })
  })
})

describe('a lost connection', () => {
  test('of a new member whose id nobody knows ends it', async () => {
    const scene = new Scene()
    const [leader] = await scene.stable(1)
    const lost = scene.join({ version: 3 })
    const waiting = scene.join({ memberId: leader })
    expect(waiting.answer?.generation).toBe(2)
    scene.leave(scene.memberIds[1])
    const another = scene.join({ version: 3 })
    another.abandon?.()
    expect(scene.join({ memberId: leader }).answer?.errorCode).toBe(0)
    expect(scene.memberIds).toEqual([leader])
    expect([lost.answers, another.answers]).toEqual([1, 0])
  })

  test('of a member that knows its id: it may come back, within its session timeout', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    const lost = scene.join({ memberId: follower, metadata: 'new' })
    lost.abandon?.()
    const waiting = scene.join({ memberId: leader })
    await scene.pass(sessionTimeoutMs - 1000)
    expect(waiting.answer).toBeNull()
    expect(scene.join({ memberId: follower, metadata: 'new' }).answer?.generation).toBe(
      generation + 1,
    )
    expect(waiting.answer?.errorCode).toBe(0)
    expect(lost.answers).toBe(0)
  })

  test('or not: then it expires and the others go on', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    scene.join({ memberId: follower, metadata: 'new' }).abandon?.()
    const waiting = scene.join({ memberId: leader })
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(waiting.answer?.errorCode).toBe(0)
    expect(scene.memberIds).toEqual([leader])
  })

  test('while it waits for its assignment: the same', async () => {
    const scene = new Scene()
    const first = scene.enter()
    const second = scene.enter()
    scene.join({ memberId: first.id })
    const lost = scene.sync(second.id, 2)
    lost.abandon?.()
    scene.sync(first.id, 2, { [second.id]: 'b' })
    await settle()
    expect(lost.answers).toBe(0)
    expect(textOf(scene.sync(second.id, 2).answer?.assignment)).toBe('b')
  })
})

describe('may commit', () => {
  test('members of the generation, in a rebalance too, but not while the assignment is awaited', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    expect(scene.commit(leader, generation)).toBe('NONE')
    expect(scene.commit(leader, generation - 1)).toBe('ILLEGAL_GENERATION')
    expect(scene.commit('x', generation)).toBe('UNKNOWN_MEMBER_ID')
    expect(scene.commit('', -1)).toBe('UNKNOWN_MEMBER_ID')
    scene.join({ memberId: leader })
    expect(scene.commit(follower, generation)).toBe('NONE')
    scene.join({ memberId: follower })
    expect(scene.commit(follower, generation)).toBe('ILLEGAL_GENERATION')
    expect(scene.commit(follower, generation + 1)).toBe('REBALANCE_IN_PROGRESS')
  })

  test('anybody, when nobody is in the group', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    scene.leave(id)
    expect(scene.commit('', -1)).toBe('NONE')
    expect(scene.commit(id, 2)).toBe('UNKNOWN_MEMBER_ID')
  })

  test('a commit counts as a heartbeat', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    for (let i = 0; i < 5; i++) {
      await scene.pass(sessionTimeoutMs - 1000)
      expect(scene.commit(id, scene.generation)).toBe('NONE')
    }
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(scene.memberIds).toEqual([])
  })
})
