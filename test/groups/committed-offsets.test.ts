/** Bounds of what is kept, and what happens to changes that cross each other on their way to the store. */
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { OffsetsScene } from './committed-offsets-kit.ts'
import { settle } from './scene.ts'

test('an offset shows when the store has it, not before, and not when it was refused', async () => {
  const offsets = new OffsetsScene()
  offsets.store.isHeld = true
  const first = offsets.commit('group', 'a', 0, 1)
  const second = offsets.commit('group', 'a', 0, 2)
  await settle()
  expect(offsets.all()).toEqual({})
  offsets.store.release()
  expect(offsets.all()).toEqual({ 'group a-0': 2 })
  expect([await first, await second]).toEqual([0, 0])
  offsets.store.code = Errors.COORDINATOR_NOT_AVAILABLE
  expect(await offsets.commit('group', 'a', 0, 3)).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
  expect(offsets.all()).toEqual({ 'group a-0': 2 })
})

test('a commit that is on its way when its topic is deleted goes with it', async () => {
  const offsets = new OffsetsScene()
  await offsets.commit('group', 'a', 0, 1)
  offsets.store.isHeld = true
  const late = [offsets.commit('group', 'a', 1, 1), offsets.commit('other', 'a', 0, 1)]
  offsets.topics.delete('a')
  offsets.committed.topicDeleted('a')
  offsets.store.release()
  await Promise.all(late)
  await settle()
  expect(offsets.all()).toEqual({})
})

test('a group that is deleted takes along what was on its way, not what is committed after it', async () => {
  const offsets = new OffsetsScene()
  await offsets.commit('group', 'a', 0, 1)
  offsets.store.isHeld = true
  const before = [offsets.commit('group', 'a', 1, 1), offsets.commit('group', 'b', 0, 1)]
  const deleted = offsets.committed.removeGroup('group')
  const after = offsets.commit('group', 'b', 0, 2)
  offsets.store.release()
  expect(await Promise.all([...before, deleted, after])).toEqual([0, 0, 0, 0])
  expect(offsets.all()).toEqual({ 'group b-0': 2 })
})

test('so does an offset that is deleted', async () => {
  const offsets = new OffsetsScene()
  await offsets.commit('group', 'b', 0, 1)
  offsets.store.isHeld = true
  const before = offsets.commit('group', 'a', 0, 1)
  const deleted = offsets.committed.remove('group', [{ topic: 'a', partition: 0 }])
  const after = offsets.commit('group', 'b', 0, 2)
  offsets.store.release()
  expect(await Promise.all([before, deleted, after])).toEqual([0, 0, 0])
  expect(offsets.all()).toEqual({ 'group b-0': 2 })
})

test('a commit that nobody waits for any more is on its way until it is decided', async () => {
  const offsets = new OffsetsScene()
  await offsets.commit('group', 'a', 0, 1)
  offsets.store.isHeld = true
  offsets.store.isImpatient = true
  expect(await offsets.commit('group', 'a', 1, 1)).toBe(Errors.COORDINATOR_NOT_AVAILABLE)
  offsets.store.isImpatient = false
  const deleted = offsets.committed.removeGroup('group')
  offsets.store.release()
  expect(await deleted).toBe(0)
  expect(offsets.all()).toEqual({})
})

test('a deleted topic loses its offsets when the store works again, the next topic of its name keeps its own', async () => {
  const offsets = new OffsetsScene()
  await offsets.commit('group', 'a', 0, 10)
  await offsets.commit('group', 'a', 1, 10)
  offsets.store.code = Errors.NOT_COORDINATOR
  offsets.committed.topicDeleted('a')
  await settle()
  offsets.store.code = Errors.NONE
  await offsets.commit('group', 'a', 1, 3)
  expect(offsets.all()).toEqual({ 'group a-0': 10, 'group a-1': 3 })
  offsets.scene.clock.advance(1000)
  await settle()
  expect(offsets.all()).toEqual({ 'group a-1': 3 })
  expect(offsets.scene.clock.timerCount).toBe(0)
})

test('a group with more offsets than fit into one change is deleted all the same', async () => {
  const offsets = new OffsetsScene()
  for (let partition = 0; partition < 250; partition++)
    await offsets.commit('group', 'a', partition, 1)
  offsets.store.rowsMax = 100
  expect(await offsets.committed.removeGroup('group')).toBe(0)
  expect(offsets.all()).toEqual({})
})

test('groups whose first commit is on its way count as groups', async () => {
  const offsets = new OffsetsScene({ groupsMax: 3 })
  await offsets.commit('one', 'a', 0, 1)
  offsets.store.isHeld = true
  const known = offsets.commit('one', 'a', 1, 1)
  const coming = [offsets.commit('two', 'a', 0, 1), offsets.commit('three', 'a', 0, 1)]
  expect(await offsets.commit('four', 'a', 0, 1)).toBe(Errors.GROUP_MAX_SIZE_REACHED)
  const again = offsets.commit('two', 'a', 1, 1)
  offsets.store.release()
  expect(await Promise.all([known, ...coming, again])).toEqual([0, 0, 0, 0])
})

test('as many groups as max.groups allows; those that are known go on', async () => {
  const offsets = new OffsetsScene({ groupsMax: 2 })
  expect(await offsets.commit('one', 'a', 0, 1)).toBe(0)
  expect(await offsets.commit('two', 'a', 0, 1)).toBe(0)
  expect(await offsets.commit('three', 'a', 0, 1)).toBe(Errors.GROUP_MAX_SIZE_REACHED)
  expect(await offsets.commit('two', 'a', 1, 1)).toBe(0)
  await offsets.committed.removeGroup('one')
  expect(await offsets.commit('three', 'a', 0, 1)).toBe(0)
})

test('as many bytes as offsets.cache.max.bytes allows; known offsets still move', async () => {
  const offsets = new OffsetsScene({ offsetsBytesMax: 10_000 })
  let partition = 0
  while ((await offsets.commit('group', 'a', partition, 1, { metadata: 'x'.repeat(100) })) === 0) {
    partition++
  }
  expect(partition).toBe(25)
  const refused = await offsets.commit('group', 'a', partition, 1)
  expect(refused).toBe(Errors.INVALID_COMMIT_OFFSET_SIZE)
  expect(await offsets.commit('group', 'a', 3, 2)).toBe(0)
  await offsets.committed.remove('group', [{ topic: 'a', partition: 7 }])
  expect(await offsets.commit('group', 'a', partition, 1)).toBe(0)
})

test('a group whose state is not known yet is neither committed to nor told to have nothing', async () => {
  const offsets = new OffsetsScene()
  offsets.store.unavailable = Errors.COORDINATOR_LOAD_IN_PROGRESS
  const { committed } = offsets
  expect(await offsets.commit('group', 'a', 0, 1)).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS)
  expect(committed.availability('group')).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS)
  expect(await committed.remove('group', [])).toBe(Errors.COORDINATOR_LOAD_IN_PROGRESS)
  expect(offsets.store.offsetWrites).toBe(0)
})

test('members commit in their generation, others not at all while there are members', async () => {
  const offsets = new OffsetsScene()
  const { scene } = offsets
  const [memberId] = await scene.stable(1)
  const { generation } = scene
  const codeOf = (more: object) => offsets.commit('g', 'a', 0, 1, more)
  expect(await codeOf({ memberId, generation })).toBe(0)
  expect(await codeOf({ memberId, generation: generation - 1 })).toBe(Errors.ILLEGAL_GENERATION)
  expect(await codeOf({ memberId: 'other', generation })).toBe(Errors.UNKNOWN_MEMBER_ID)
  expect(await codeOf({})).toBe(Errors.UNKNOWN_MEMBER_ID)
  scene.leave(memberId)
  expect(await codeOf({})).toBe(0)
})
