/** How long committed offsets are kept (PROTOCOL.md 3.8 point 12, KIP-211), and what may not take them away. */
import { describe, expect, test } from 'vitest'
import type { GroupSnapshot } from '../../src/groups/types.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  checkMs,
  minuteMs,
  OffsetsScene,
  retentionMs,
  subscriptionTo,
} from './committed-offsets-kit.ts'
import { settle } from './scene.ts'

describe('a group that nobody joined', () => {
  test('loses each offset when it is old enough, and is gone with the last one', async () => {
    const offsets = new OffsetsScene()
    await offsets.commit('simple', 'a', 0, 1)
    await offsets.pass(minuteMs)
    await offsets.commit('simple', 'a', 1, 2)
    await offsets.pass(retentionMs - minuteMs - 1)
    expect(offsets.all()).toEqual({ 'simple a-0': 1, 'simple a-1': 2 })
    await offsets.pass(1)
    expect(offsets.all()).toEqual({ 'simple a-1': 2 })
    await offsets.pass(minuteMs)
    expect(offsets.all()).toEqual({})
    expect([...offsets.committed.groupIds()]).toEqual([])
  })

  test('keeps what is committed again', async () => {
    const offsets = new OffsetsScene()
    for (let hour = 0; hour < 5; hour++) {
      await offsets.commit('simple', 'a', 0, hour)
      await offsets.pass(retentionMs - 1)
      expect(offsets.all()).toEqual({ 'simple a-0': hour })
    }
  })

  test('retention_time_ms of the commit counts instead of the retention of the broker', async () => {
    const offsets = new OffsetsScene()
    const nowMs = offsets.scene.clock.wallMs()
    await offsets.commit('simple', 'a', 0, 1, { expireTimestampMs: nowMs + minuteMs })
    await offsets.commit('simple', 'a', 1, 2, { expireTimestampMs: nowMs + 2 * retentionMs })
    await offsets.pass(minuteMs - 1)
    expect(offsets.all()).toEqual({ 'simple a-0': 1, 'simple a-1': 2 })
    await offsets.pass(1)
    expect(offsets.all()).toEqual({ 'simple a-1': 2 })
    await offsets.pass(retentionMs + minuteMs)
    expect(offsets.all()).toEqual({ 'simple a-1': 2 })
    await offsets.pass(retentionMs)
    expect(offsets.all()).toEqual({})
  })
})

describe('a group with members', () => {
  test('keeps the offsets of topics that they read, whatever their age', async () => {
    const offsets = new OffsetsScene()
    const { scene } = offsets
    const [memberId] = await scene.stable(1, { metadata: subscriptionTo('a') })
    const me = { memberId, generation: scene.generation }
    expect(await offsets.commit('g', 'a', 0, 1, me)).toBe(Errors.NONE)
    expect(await offsets.commit('g', 'b', 0, 2, me)).toBe(Errors.NONE)
    await offsets.pass(retentionMs - 1, [[memberId, me.generation]])
    expect(offsets.all()).toEqual({ 'g a-0': 1, 'g b-0': 2 })
    await offsets.pass(retentionMs, [[memberId, me.generation]])
    expect(offsets.all()).toEqual({ 'g a-0': 1 })
  })

  test('keeps everything while it rebalances', async () => {
    const offsets = new OffsetsScene()
    const { scene } = offsets
    const [memberId] = await scene.stable(1, { metadata: subscriptionTo('a') })
    await offsets.commit('g', 'b', 0, 2, { memberId, generation: scene.generation })
    await offsets.pass(retentionMs - 1000, [[memberId, scene.generation]])
    scene.enter({ metadata: subscriptionTo('a') })
    expect(scene.state).toBe('PreparingRebalance')
    await offsets.pass(2000, [[memberId, scene.generation]])
    expect(offsets.all()).toEqual({ 'g b-0': 2 })
  })

  test('loses them only when nobody has been in it for the retention, and then ends', async () => {
    const offsets = new OffsetsScene()
    const { scene, store } = offsets
    const [memberId] = await scene.stable(1, { metadata: subscriptionTo('a') })
    await offsets.commit('g', 'a', 0, 1, { memberId, generation: scene.generation })
    await offsets.pass(retentionMs, [[memberId, scene.generation]])
    expect(scene.leave(memberId)).toEqual(['NONE'])
    await offsets.pass(retentionMs - 1)
    expect(offsets.all()).toEqual({ 'g a-0': 1 })
    expect(scene.state).toBe('Empty')
    await offsets.pass(1)
    expect(offsets.all()).toEqual({})
    expect([scene.state, store.removed]).toEqual(['Dead', ['g']])
  })

  test('that never committed ends when the last one has left', async () => {
    const offsets = new OffsetsScene()
    const { scene, store } = offsets
    const [memberId] = await scene.stable(1)
    await offsets.pass(minuteMs, [[memberId, scene.generation]])
    expect(store.removed).toEqual([])
    scene.leave(memberId)
    await offsets.pass(minuteMs)
    expect(store.removed).toEqual(['g'])
  })

  test('counts from when it turned empty across a restart, from the commit where that is not known', async () => {
    const emptySince = (stateTimestampMs: number): GroupSnapshot => ({
      groupId: 'g',
      protocolType: 'consumer',
      generation: 4,
      protocol: null,
      leader: null,
      stateTimestampMs,
      members: [],
    })
    const startMs = new OffsetsScene().scene.clock.wallMs()
    const oldMs = startMs - retentionMs
    for (const [stateTimestampMs, commitTimestampMs, isGone] of [
      [oldMs + minuteMs, oldMs, true],
      [startMs, oldMs, false],
      [-1, startMs, false],
      // An administrator has set it since.
      [oldMs + minuteMs, startMs, false],
    ] as const) {
      const offsets = new OffsetsScene({}, [emptySince(stateTimestampMs)])
      offsets.store.offsets.set(
        'g',
        new Map([['a', new Map([[0, offsetOf(1, commitTimestampMs)]])]]),
      )
      offsets.restart()
      await offsets.pass(minuteMs)
      expect(offsets.all()).toEqual(isGone ? {} : { 'g a-0': 1 })
    }
  })
})

const offsetOf = (offset: number, commitTimestampMs: number) => ({
  offset,
  leaderEpoch: -1,
  metadata: '',
  commitTimestampMs,
  expireTimestampMs: -1,
})

describe('what must not cost an offset', () => {
  test('a commit that is on its way while its old offset has expired', async () => {
    const offsets = new OffsetsScene()
    await offsets.commit('simple', 'a', 0, 1)
    offsets.scene.clock.advance(retentionMs)
    offsets.store.isHeld = true
    const newer = offsets.commit('simple', 'a', 0, 2)
    await offsets.committed.expire()
    offsets.store.release()
    expect(await newer).toBe(Errors.NONE)
    await settle()
    expect(offsets.all()).toEqual({ 'simple a-0': 2 })
  })

  test('a wall clock that is set forward', async () => {
    const offsets = new OffsetsScene()
    offsets.committed.start()
    await offsets.commit('simple', 'a', 0, 1)
    offsets.scene.clock.wall += 1000 * retentionMs
    offsets.scene.clock.advance(checkMs)
    await settle()
    expect(offsets.all()).toEqual({ 'simple a-0': 1 })
    expect(offsets.warnings).toHaveLength(1)
  })

  test('a store that cannot be read or written now', async () => {
    const offsets = new OffsetsScene()
    await offsets.commit('simple', 'a', 0, 1)
    offsets.store.unavailable = Errors.NOT_COORDINATOR
    await offsets.pass(retentionMs)
    offsets.store.unavailable = Errors.NONE
    offsets.store.code = Errors.NOT_COORDINATOR
    await offsets.pass(retentionMs)
    expect(offsets.all()).toEqual({ 'simple a-0': 1 })
    offsets.store.code = Errors.NONE
    await offsets.pass(1)
    expect(offsets.all()).toEqual({})
  })
})

test('looks by itself, as often as offsets.retention.check.interval.ms says', async () => {
  const offsets = new OffsetsScene()
  offsets.committed.start()
  await offsets.commit('simple', 'a', 0, 1)
  for (let leftMs = retentionMs; leftMs > 0; leftMs -= checkMs) {
    expect(offsets.all()).toEqual({ 'simple a-0': 1 })
    offsets.scene.clock.advance(checkMs)
    for (let turn = 0; turn < 3; turn++) await settle()
  }
  expect(offsets.all()).toEqual({})
  offsets.committed.close()
  expect(offsets.scene.clock.timerCount).toBe(0)
})
