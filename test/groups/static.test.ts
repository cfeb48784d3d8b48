/** Static members: a place in the group that survives a restart of its holder (KIP-345, KIP-814). */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { momentMs, rebalanceTimeoutMs, Scene, sessionTimeoutMs, settle, textOf } from './scene.ts'

/** Two static members, `a` the leader. @returns their member ids */
async function pair(scene: Scene, version = 9): Promise<[string, string]> {
  scene.join({ groupInstanceId: 'a', version })
  const follower = scene.join({ groupInstanceId: 'b', version })
  const [a] = scene.memberIds
  const leader = scene.join({ groupInstanceId: 'a', memberId: a, version })
  const b = follower.answer?.memberId ?? ''
  expect(leader.answer).toMatchObject({ generation: 2, leader: a })
  scene.sync(a, 2, { [a]: 'for a', [b]: 'for b' })
  await settle()
  scene.sync(b, 2)
  return [a, b]
}

describe('joins', () => {
  test('without an id of its own, at once, also with v4 and later', () => {
    const scene = new Scene()
    expect(scene.join({ groupInstanceId: 'a' }).answer).toMatchObject({
      errorCode: 0,
      memberId: 'a-1',
      members: [{ memberId: 'a-1', groupInstanceId: 'a' }],
    })
  })
})

describe('comes back', () => {
  test('a follower has its assignment again, and nobody else notices', async () => {
    const scene = new Scene()
    const [a, b] = await pair(scene)
    const again = scene.join({ groupInstanceId: 'b' })
    await settle()
    const id = again.answer?.memberId ?? ''
    expect(again.answer).toMatchObject({ errorCode: 0, generation: 2, leader: a, members: [] })
    expect(id).not.toBe(b)
    expect(textOf(scene.sync(id, 2, {}, 'b').answer?.assignment)).toBe('for b')
    expect(scene.heartbeat(a, 2, 'a')).toBe('NONE')
    expect(scene.heartbeat(b, 2, 'b')).toBe('FENCED_INSTANCE_ID')
    expect(scene.commit(b, 2, 'b')).toBe('FENCED_INSTANCE_ID')
    expect(scene.join({ memberId: b, groupInstanceId: 'b' }).answer?.errorCode).toBe(
      Errors.FENCED_INSTANCE_ID,
    )
    expect(scene.sync(b, 2, {}, 'b').answer?.errorCode).toBe(Errors.FENCED_INSTANCE_ID)
    expect(scene.leave({ memberId: b, groupInstanceId: 'b' })).toEqual(['FENCED_INSTANCE_ID'])
    expect(scene.history).toEqual(expect.arrayContaining(['fenced', 'replaced']))
  })

  test('the new id is kept before it is told', async () => {
    const scene = new Scene()
    await pair(scene)
    scene.store.isHeld = true
    const again = scene.join({ groupInstanceId: 'b' })
    await settle()
    expect(again.answer).toBeNull()
    scene.store.release()
    await settle()
    const kept = scene.store.groups.get('g')?.members.map(({ memberId }) => memberId)
    expect(kept).toContain(again.answer?.memberId)
  })

  test('when it cannot be kept the member tries again', async () => {
    const scene = new Scene()
    await pair(scene)
    scene.store.code = Errors.COORDINATOR_NOT_AVAILABLE
    const again = scene.join({ groupInstanceId: 'b' })
    await settle()
    expect(again.answer?.errorCode).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    scene.store.code = Errors.NONE
    const third = scene.join({ groupInstanceId: 'b' })
    await settle()
    expect(textOf(scene.sync(third.answer?.memberId ?? '', 2).answer?.assignment)).toBe('for b')
  })

  test('the leader: v9 skips the assignment, earlier ones take themselves for a follower', async () => {
    const scene = new Scene()
    const [a] = await pair(scene)
    const nine = scene.join({ groupInstanceId: 'a' })
    await settle()
    const id = nine.answer?.memberId ?? ''
    expect(nine.answer).toMatchObject({ skipAssignment: true, leader: id, generation: 2 })
    expect(nine.answer?.members.map(member => member.groupInstanceId)).toEqual(['b', 'a'])
    const eight = scene.join({ groupInstanceId: 'a', version: 8 })
    await settle()
    expect(eight.answer).toMatchObject({ skipAssignment: false, leader: id, members: [] })
    expect(id).not.toBe(a)
    expect(scene.state).toBe('Stable')
    expect(textOf(scene.sync(eight.answer?.memberId ?? '', 2).answer?.assignment)).toBe('for a')
  })

  test('with what changes the protocol of the group: there is a rebalance', async () => {
    const scene = new Scene()
    const both = ['range', 'sticky']
    scene.join({ groupInstanceId: 'a', protocols: both })
    const [a] = scene.memberIds
    scene.sync(a, 1)
    await settle()
    scene.join({ groupInstanceId: 'a', protocols: ['sticky', 'range'] })
    await settle()
    expect([scene.state, scene.generation]).toEqual(['CompletingRebalance', 2])
  })

  test('in a rebalance: it takes part, and what its former self had parked is fenced', async () => {
    const scene = new Scene()
    const [a, b] = await pair(scene)
    const parked = scene.join({ memberId: b, groupInstanceId: 'b', metadata: 'new' })
    const again = scene.join({ groupInstanceId: 'b', metadata: 'new' })
    expect(parked.answer?.errorCode).toBe(Errors.FENCED_INSTANCE_ID)
    expect(again.answer).toBeNull()
    scene.join({ memberId: a, groupInstanceId: 'a' })
    expect(again.answer).toMatchObject({ errorCode: 0, generation: 3, leader: a })
  })

  test('while the assignment is awaited: everybody joins again', async () => {
    const scene = new Scene()
    const [a, b] = await pair(scene)
    scene.join({ memberId: b, groupInstanceId: 'b', metadata: 'new' })
    scene.join({ memberId: a, groupInstanceId: 'a' })
    const waiting = scene.sync(b, 3, {}, 'b')
    const again = scene.join({ groupInstanceId: 'b', metadata: 'new' })
    expect(waiting.answer?.errorCode).toBe(Errors.FENCED_INSTANCE_ID)
    scene.join({ memberId: a, groupInstanceId: 'a' })
    expect(again.answer?.generation).toBe(4)
  })

  test('twice, before the first was answered', async () => {
    const scene = new Scene()
    await pair(scene)
    scene.store.isHeld = true
    const first = scene.join({ groupInstanceId: 'b' })
    const second = scene.join({ groupInstanceId: 'b' })
    scene.store.release()
    await settle()
    expect(first.answer?.errorCode).toBe(Errors.FENCED_INSTANCE_ID)
    expect(textOf(scene.sync(second.answer?.memberId ?? '', 2).answer?.assignment)).toBe('for b')
    expect([first.answers, second.answers]).toEqual([1, 1])
  })

  test('and a rebalance begins before the new id is kept: that answers', async () => {
    const scene = new Scene()
    const [a] = await pair(scene)
    scene.store.isHeld = true
    const again = scene.join({ groupInstanceId: 'b' })
    const leader = scene.join({ memberId: a, groupInstanceId: 'a' })
    expect([again.answer?.generation, leader.answer?.generation]).toEqual([3, 3])
    scene.store.release()
    await settle()
    expect([again.answers, leader.answers]).toEqual([1, 1])
  })

  test('and is in the next rebalance before the new id is kept: that is not cut short', async () => {
    const scene = new Scene()
    const [a] = await pair(scene)
    scene.store.isHeld = true
    const again = scene.join({ groupInstanceId: 'b' })
    scene.join({ memberId: a, groupInstanceId: 'a' })
    const memberId = again.answer?.memberId ?? ''
    const next = scene.join({ memberId, groupInstanceId: 'b', metadata: 'new' })
    scene.store.release()
    await settle()
    expect([again.answers, next.answer]).toEqual([1, null])
  })
})

describe('stays away', () => {
  test('a rebalance does not drop it, its session does', async () => {
    const scene = new Scene()
    const sessionMs = 4 * rebalanceTimeoutMs
    scene.join({ groupInstanceId: 'a', sessionTimeoutMs: sessionMs })
    const b = scene.join({ groupInstanceId: 'b' })
    const [a] = scene.memberIds
    await scene.pass(rebalanceTimeoutMs + momentMs)
    expect(b.answer).toMatchObject({ errorCode: 0, generation: 2 })
    expect(scene.memberIds).toContain(a)
  })

  test('when nobody but absent static members is there the rebalance waits on', async () => {
    const scene = new Scene()
    const sessionMs = 10 * rebalanceTimeoutMs
    const options = { sessionTimeoutMs: sessionMs }
    scene.join({ ...options, groupInstanceId: 'a' })
    const [a] = scene.memberIds
    const other = scene.enter()
    scene.leave(other.id)
    await scene.pass(3 * rebalanceTimeoutMs)
    expect([scene.state, scene.memberIds]).toEqual(['PreparingRebalance', [a]])
    expect(scene.join({ ...options, groupInstanceId: 'a', memberId: a }).answer).toMatchObject({
      generation: 2,
      leader: a,
    })
  })

  test('and is not the leader any more when it comes back: who has been it since stays it', async () => {
    const scene = new Scene()
    const options = { groupInstanceId: 'a', sessionTimeoutMs: 10 * rebalanceTimeoutMs }
    scene.join(options)
    const [a] = scene.memberIds
    const b = scene.join({ groupInstanceId: 'b', sessionTimeoutMs: 10 * rebalanceTimeoutMs })
    await scene.pass(rebalanceTimeoutMs + momentMs)
    const leader = b.answer?.leader ?? ''
    expect([leader === a, scene.memberIds]).toEqual([false, [a, leader]])
    const back = scene.join({ ...options, memberId: a, metadata: 'new' })
    const stays = scene.join({ groupInstanceId: 'b', memberId: leader, metadata: 'new' })
    expect([back.answer?.leader, stays.answer?.leader]).toEqual([leader, leader])
    expect(back.answer?.members).toEqual([])
  })

  test('an administrator removes it by its instance id', async () => {
    const scene = new Scene()
    const [, b] = await pair(scene)
    expect(scene.leave({ groupInstanceId: 'x' })).toEqual(['UNKNOWN_MEMBER_ID'])
    expect(scene.leave({ groupInstanceId: 'b' })).toEqual(['NONE'])
    expect(scene.heartbeat(b, 2)).toBe('UNKNOWN_MEMBER_ID')
    expect(scene.heartbeat(b, 2, 'b')).toBe('UNKNOWN_MEMBER_ID')
    expect(scene.state).toBe('PreparingRebalance')
  })

  test('its session runs as that of any member', async () => {
    const scene = new Scene()
    const [a, b] = await pair(scene)
    await scene.pass(sessionTimeoutMs + momentMs, [[a, 2]])
    expect(scene.memberIds).not.toContain(b)
    // The place is free for a new holder.
    expect(scene.join({ groupInstanceId: 'b' }).answer).toBeNull()
  })

  test('also after it was told that its assignment could not be kept', async () => {
    const scene = new Scene()
    const memberId = scene.join({ groupInstanceId: 'a' }).answer?.memberId ?? ''
    scene.store.code = Errors.COORDINATOR_NOT_AVAILABLE
    const told = scene.sync(memberId, 1, { [memberId]: 'for a' }, 'a')
    await settle()
    expect(told.answer?.errorCode).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    await scene.pass(sessionTimeoutMs - 1000)
    expect(scene.memberIds).toEqual([memberId])
    await scene.pass(1000 + momentMs)
    expect(scene.memberIds).toEqual([])
  })
})
