/** The timeline says who was late, by how much, and which setting decided. */
import { describe, expect, test } from 'vitest'
import { newMemberTimeoutMs } from '../../src/groups/group.ts'
import { Timeline, timelineLengthMax } from '../../src/groups/timeline.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { momentMs, rebalanceTimeoutMs, Scene, sessionTimeoutMs } from './scene.ts'

const eventsOf = (scene: Scene, kind: string) =>
  scene.coordinator.timeline('g').filter(event => event.kind === kind)

describe('a rebalance', () => {
  test('names who joined last, and how long it was waited for', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    scene.join({ memberId: leader })
    await scene.pass(12_345, [[follower, generation]])
    const last = scene.join({ memberId: follower })
    expect(eventsOf(scene, 'generation').at(-1)).toMatchObject({
      memberId: follower,
      elapsedMs: 12_345,
      detail: '2 members, protocol range; this one joined last',
    })
    await scene.pass(655, [])
    scene.sync(leader, last.answer?.generation ?? 0)
    await scene.pass(0)
    expect(eventsOf(scene, 'stable').at(-1)).toMatchObject({ elapsedMs: 13_000 })
  })

  test('of an empty group says what it waits for', () => {
    const scene = new Scene({ initialRebalanceDelayMs: 3000 })
    scene.enter()
    expect(eventsOf(scene, 'rebalancing')[0].decidedBy).toBe(
      'group.initial.rebalance.delay.ms=3000',
    )
    const eager = new Scene()
    eager.enter()
    expect(eventsOf(eager, 'rebalancing')[0].decidedBy).toBeNull()
  })
})

describe('a late member', () => {
  test('whose timeout decided, and by how much it was too late', async () => {
    const scene = new Scene()
    const [leader, follower] = await scene.stable(2)
    const generation = scene.generation
    scene.join({ memberId: leader })
    await scene.pass(rebalanceTimeoutMs - 1000, [[follower, generation]])
    await scene.pass(1000 + momentMs)
    const decidedBy = `max.poll.interval.ms=${rebalanceTimeoutMs}`
    expect(eventsOf(scene, 'late')).toMatchObject([
      { memberId: follower, decidedBy, detail: 'did not rejoin in time and was dropped' },
    ])
    expect(eventsOf(scene, 'late')[0].elapsedMs).toBeGreaterThanOrEqual(rebalanceTimeoutMs)
    await scene.pass(3000)
    expect(scene.heartbeat(follower, generation)).toBe('UNKNOWN_MEMBER_ID')
    expect(scene.heartbeat(follower, generation)).toBe('UNKNOWN_MEMBER_ID')
    const returned = eventsOf(scene, 'returned')
    expect(returned).toMatchObject([{ memberId: follower, clientId: 'c', decidedBy }])
    expect(returned[0].elapsedMs).toBeGreaterThanOrEqual(3000)
    expect(returned[0].elapsedMs).toBeLessThan(3000 + momentMs)
  })

  test('when another has the longer timeout, that one decided', async () => {
    const scene = new Scene()
    const first = scene.enter({ rebalanceTimeoutMs: 2 * rebalanceTimeoutMs })
    const second = scene.enter()
    scene.join({ memberId: first.id, rebalanceTimeoutMs: 2 * rebalanceTimeoutMs })
    scene.sync(first.id, scene.generation)
    await scene.pass(0)
    scene.sync(second.id, scene.generation)
    const { generation } = scene
    scene.join({ memberId: first.id, rebalanceTimeoutMs: 2 * rebalanceTimeoutMs })
    await scene.pass(2 * rebalanceTimeoutMs + momentMs, [[second.id, generation]])
    expect(eventsOf(scene, 'late')).toMatchObject([
      {
        memberId: second.id,
        decidedBy: `max.poll.interval.ms=${2 * rebalanceTimeoutMs}`,
        detail: expect.stringContaining(`its own is ${rebalanceTimeoutMs}`),
      },
    ])
  })

  test('that says itself that its application did not poll', async () => {
    const scene = new Scene()
    const [id, other] = await scene.stable(2)
    scene.leave({ memberId: id, reason: 'consumer poll timeout has expired.' })
    scene.leave({ memberId: other, reason: 'the consumer is being closed' })
    expect(eventsOf(scene, 'left')).toMatchObject([
      { memberId: id, decidedBy: `max.poll.interval.ms=${rebalanceTimeoutMs}` },
      { memberId: other, decidedBy: null, detail: 'left: the consumer is being closed' },
    ])
  })
})

describe('a member that is dropped', () => {
  test('and asks to commit after its session has expired was alive', async () => {
    const scene = new Scene()
    const [id] = await scene.stable(1)
    const { generation } = scene
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(scene.state).toBe('Empty')
    await scene.pass(1000)
    expect(scene.commit(id, generation)).toBe('UNKNOWN_MEMBER_ID')
    expect(eventsOf(scene, 'returned')).toMatchObject([
      { memberId: id, decidedBy: `session.timeout.ms=${sessionTimeoutMs}` },
    ])
  })

  test('before its first join was answered owed no heartbeat', async () => {
    const scene = new Scene()
    const [, follower] = await scene.stable(2, { rebalanceTimeoutMs: 900_000 })
    const { generation } = scene
    scene.enter({ rebalanceTimeoutMs: 900_000 })
    await scene.pass(newMemberTimeoutMs + momentMs, [[follower, generation]])
    const expired = eventsOf(scene, 'expired').map(({ decidedBy }) => decidedBy)
    expect(expired).toContain(`${newMemberTimeoutMs} ms for a first join (fixed)`)
  })

  test('before it came back with its id', async () => {
    const scene = new Scene()
    await scene.stable(1)
    const { answer } = scene.join()
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(eventsOf(scene, 'expired')).toContainEqual(
      expect.objectContaining({
        memberId: answer?.memberId,
        decidedBy: `session.timeout.ms=${sessionTimeoutMs}`,
      }),
    )
  })

  test('because another has its instance id, and goes on', async () => {
    const scene = new Scene()
    const old = scene.join({ groupInstanceId: 'a' }).answer
    scene.sync(old?.memberId ?? '', 1, {}, 'a')
    await scene.pass(0)
    scene.join({ groupInstanceId: 'a' })
    await scene.pass(0)
    expect(scene.heartbeat(old?.memberId ?? '', 1, 'a')).toBe('FENCED_INSTANCE_ID')
    const decidedBy = 'group.instance.id=a'
    for (const kind of ['fenced', 'replaced', 'returned']) {
      expect(eventsOf(scene, kind)).toMatchObject([{ decidedBy, groupInstanceId: 'a' }])
    }
  })

  test('is remembered with few others', async () => {
    const scene = new Scene({ membersMax: 1000 })
    const ids = await scene.stable(50)
    const { generation } = scene
    await scene.pass(sessionTimeoutMs + momentMs)
    expect(scene.state).toBe('Empty')
    for (const id of ids) scene.heartbeat(id, generation)
    expect(eventsOf(scene, 'returned')).toHaveLength(20)
  })
})

describe('who is refused', () => {
  test.each([
    [{ membersMax: 1 }, {}, Errors.GROUP_MAX_SIZE_REACHED, 'group.max.size=1'],
    [{}, { sessionTimeoutMs: 5999 }, Errors.INVALID_SESSION_TIMEOUT, 'group.min.session.timeout'],
    [{}, { sessionTimeoutMs: 2e6 }, Errors.INVALID_SESSION_TIMEOUT, 'group.max.session.timeout'],
    [{}, { metadata: 'x'.repeat(10_000) }, Errors.INVALID_REQUEST, 'group.member.max.bytes='],
    [
      { groupsBytesMax: 5000 },
      { metadata: 'x'.repeat(5000) },
      Errors.GROUP_MAX_SIZE_REACHED,
      'groups.max.bytes=5000',
    ],
    [
      {},
      { protocols: ['sticky'] },
      Errors.INCONSISTENT_GROUP_PROTOCOL,
      'partition.assignment.strategy',
    ],
  ])('%j, %j: %i by %s', async (limits, options, code, decidedBy) => {
    const scene = new Scene(limits)
    await scene.stable(1)
    for (let i = 0; i < 3; i++) {
      expect(scene.join({ ...options, version: 3 }).answer?.errorCode).toBe(code)
    }
    expect(eventsOf(scene, 'refused')).toMatchObject([
      { decidedBy: expect.stringContaining(decidedBy), clientId: 'c', times: 3 },
    ])
  })

  test('again and again does not push the others out', () => {
    const timeline = new Timeline()
    const at = { wallMs: 1, generation: 1 }
    timeline.add(at, 'joined', null, 'x')
    for (let i = 0; i < 2 * timelineLengthMax; i++) {
      timeline.add({ ...at, wallMs: i }, 'refused', null, 'y', { decidedBy: 's' })
    }
    timeline.add(at, 'refused', null, 'y', { decidedBy: 'other' })
    expect(timeline.list().map(({ kind, times }) => [kind, times])).toEqual([
      ['joined', 1],
      ['refused', 2 * timelineLengthMax],
      ['refused', 1],
    ])
    expect(timeline.list()[1].wallMs).toBe(2 * timelineLengthMax - 1)
  })
})
