/** Groups as a whole: described, listed, removed, kept over a restart, ended; what committed offsets ask of them. */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { momentMs, Scene, sessionTimeoutMs, settle, textOf } from './scene.ts'

/** A subscription of Kafka's consumer protocol, version 1. */
function subscription(...topics: string[]): string {
  const head = [0, 1, 0, 0, 0, topics.length]
  const rows = topics.flatMap(topic => [0, topic.length, ...Buffer.from(topic)])
  return Buffer.from([...head, ...rows, 255, 255, 255, 255, 0, 0, 0, 0]).toString('latin1')
}

describe('describe and list', () => {
  test('metadata and assignments while stable, members at any time, Dead when there is none', async () => {
    const scene = new Scene()
    const { coordinator } = scene
    expect(coordinator.describe('g')).toMatchObject({ state: 'Dead', members: [] })
    const [first, second] = await scene.stable(2, { clientId: 'app', metadata: 'what' })
    const { members, ...group } = coordinator.describe('g')
    expect(group).toEqual({
      groupId: 'g',
      state: 'Stable',
      protocolType: 'consumer',
      protocol: 'range',
      generation: 2,
      leader: first,
    })
    expect(members.map(member => textOf(member.metadata))).toEqual(['what', 'what'])
    expect(members.map(member => textOf(member.assignment))).toEqual([
      `part of ${first}`,
      `part of ${second}`,
    ])
    expect(members[0]).toMatchObject({ clientId: 'app', clientHost: '/127.0.0.1' })
    scene.join({ memberId: first })
    const during = coordinator.describe('g')
    expect(during).toMatchObject({ state: 'PreparingRebalance', protocol: '' })
    expect(during.members.map(member => textOf(member.assignment))).toEqual(['', ''])
    expect(during.members.map(member => textOf(member.metadata))).toEqual(['', ''])
    expect(coordinator.list()).toEqual([
      { groupId: 'g', protocolType: 'consumer', state: 'PreparingRebalance', members: 2 },
    ])
  })
})

describe('remove', () => {
  test('only what is there and empty', async () => {
    const scene = new Scene()
    const { coordinator, store } = scene
    expect(await coordinator.remove('g')).toBe(Errors.GROUP_ID_NOT_FOUND)
    const [id] = await scene.stable(1)
    expect(await coordinator.remove('g')).toBe(Errors.NON_EMPTY_GROUP)
    scene.leave(id)
    await settle()
    expect(await coordinator.remove('g')).toBe(Errors.NONE)
    expect([coordinator.has('g'), store.groups.size]).toEqual([false, 0])
  })

  test('whoever comes meanwhile is asked to come again; a failure leaves the group as it was', async () => {
    const scene = new Scene()
    const { coordinator, store } = scene
    const [id] = await scene.stable(1)
    scene.leave(id)
    await settle()
    store.isHeld = true
    store.code = Errors.COORDINATOR_NOT_AVAILABLE
    const removing = coordinator.remove('g')
    await settle()
    expect(scene.join().answer?.errorCode).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    expect(coordinator.describe('g').state).toBe('Dead')
    store.release()
    expect(await removing).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    expect(coordinator.describe('g')).toMatchObject({ state: 'Empty', protocolType: 'consumer' })
    store.code = Errors.NONE
    expect(scene.join({ version: 3 }).answer?.generation).toBe(3)
  })

  test('the offsets go first; when they do not, the group stays', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    scene.leave(id)
    await settle()
    const removed: string[] = []
    const broken = { removeGroup: async () => Errors.COORDINATOR_NOT_AVAILABLE }
    expect(await scene.coordinator.remove('g', broken)).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
    expect(scene.store.groups.has('g')).toBe(true)
    const offsets = {
      removeGroup: async (groupId: string) => {
        removed.push(groupId)
        return Errors.NONE
      },
    }
    expect(await scene.coordinator.remove('g', offsets)).toBe(Errors.NONE)
    expect(removed).toEqual(['g'])
  })
})

describe('a restart', () => {
  test('members go on where they were, with their session timeout anew', async () => {
    const before = new Scene()
    const [leader, follower] = await before.stable(2, { metadata: 'what' })
    const generation = before.generation
    const scene = new Scene({}, [...before.store.groups.values()])
    expect(scene.state).toBe('Stable')
    await scene.pass(sessionTimeoutMs - 1000)
    expect(scene.heartbeat(leader, generation)).toBe('NONE')
    expect(scene.heartbeat(follower, generation)).toBe('NONE')
    expect(scene.commit(follower, generation)).toBe('NONE')
    expect(textOf(scene.sync(follower, generation).answer?.assignment)).toBe(`part of ${follower}`)
    // Only the chosen protocol is kept, and for whoever offers just that nothing has changed.
    const { answer } = scene.join({ memberId: follower, metadata: 'what' })
    expect(answer).toMatchObject({ generation, leader })
    expect(scene.history).toEqual(['restored'])
    await scene.pass(sessionTimeoutMs + momentMs, [[leader, generation]])
    expect(scene.memberIds).toEqual([leader])
    expect(scene.join({ memberId: leader, metadata: 'what' }).answer?.generation).toBe(
      generation + 1,
    )
  })

  test('static members keep their places, empty groups the time since when they are', async () => {
    const before = new Scene()
    const { answer } = before.join({ groupInstanceId: 'a' })
    before.sync(answer?.memberId ?? '', 1, { 'a-1': 'mine' })
    await settle()
    const scene = new Scene({}, [...before.store.groups.values()])
    const again = scene.join({ groupInstanceId: 'a' })
    await settle()
    expect(again.answer).toMatchObject({ generation: 1, skipAssignment: true })
    expect(textOf(scene.sync(again.answer?.memberId ?? '', 1).answer?.assignment)).toBe('mine')
    scene.leave({ groupInstanceId: 'a' })
    await settle()
    const third = new Scene({}, [...scene.store.groups.values()])
    expect(third.state).toBe('Empty')
    expect(third.coordinator.retentionFrom('g')).toBe(scene.store.groups.get('g')?.stateTimestampMs)
    third.join({ version: 3 })
    expect(third.generation).toBe(3)
  })
})

describe('close', () => {
  test('whoever waits is sent away, and whoever comes', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const parked = scene.join({ memberId: leader })
    scene.join()
    scene.coordinator.close()
    const gone = Errors.COORDINATOR_NOT_AVAILABLE
    expect(parked.answer?.errorCode).toBe(gone)
    expect(scene.join().answer?.errorCode).toBe(gone)
    expect(scene.heartbeat(follower, scene.generation)).toBe('COORDINATOR_NOT_AVAILABLE')
    expect(scene.clock.timerCount).toBe(0)
  })
})

describe('what committed offsets ask', () => {
  test('who reads a topic', async () => {
    const scene = new Scene()
    const { coordinator } = scene
    const first = scene.enter({ metadata: subscription('a', 'b') })
    const second = scene.enter({ metadata: subscription('b', 'c') })
    scene.join({ memberId: first.id, metadata: subscription('a', 'b') })
    const reads = (...topics: string[]) =>
      topics.filter(topic => coordinator.isSubscribed('g', topic))
    expect(reads('a', 'b', 'c', 'd')).toEqual(['a', 'b', 'c'])
    scene.leave(second.id)
    scene.join({ memberId: first.id, metadata: subscription('a') })
    expect(reads('a', 'b', 'c')).toEqual(['a'])
    scene.leave(first.id)
    expect(reads('a')).toEqual([])
    expect(coordinator.isSubscribed('other', 'a')).toBe(false)
  })

  test('metadata that is no subscription may mean any topic; of other protocol types none', async () => {
    const scene = new Scene()
    await scene.stable(1, { metadata: 'x' })
    expect(scene.coordinator.isSubscribed('g', 'a')).toBe(true)
    expect(scene.coordinator.removeOffsetsError('g')).toBe(Errors.NONE)
    const connect = new Scene()
    await connect.stable(1, { protocolType: 'connect' })
    expect(connect.coordinator.isSubscribed('g', 'a')).toBe(false)
    expect(connect.coordinator.removeOffsetsError('g')).toBe(Errors.NON_EMPTY_GROUP)
  })

  test('from when on offsets grow old', async () => {
    const scene = new Scene()
    const from = () => scene.coordinator.retentionFrom('g')
    expect(from()).toBe('commit')
    const [id] = await scene.stable(1)
    expect([from(), scene.coordinator.isEmpty('g')]).toEqual(['commit', false])
    scene.enter()
    expect(from()).toBe('never')
    scene.leave(...scene.memberIds)
    const leftMs = scene.clock.wall
    scene.clock.advance(50_000)
    expect([from(), scene.coordinator.isEmpty('g')]).toEqual([leftMs, true])
    expect(id).toBe('c-1')
  })
})
