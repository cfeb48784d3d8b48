/** A member whose group answers when the test says so: what a close may cut short, and what it must not. */
import { expect, test } from 'vitest'
import type { JoinAnswer, SyncAnswer } from '../../../src/groups/calls.ts'
import type { GroupBackend } from '../../../src/http/backend/group-backend.ts'
import { Membership } from '../../../src/http/rest/membership.ts'
import { Errors } from '../../../src/protocol/errors.ts'

function makeGroup() {
  const calls: string[] = []
  const joins: PromiseWithResolvers<JoinAnswer>[] = []
  const syncs: PromiseWithResolvers<SyncAnswer>[] = []
  const beat = { code: Errors.NONE as number }
  const joined = (generation: number, errorCode: number = Errors.NONE): JoinAnswer => ({
    errorCode,
    generation,
    protocolType: 'consumer',
    protocol: 'range',
    leader: 'someone',
    skipAssignment: false,
    memberId: 'me',
    members: [],
  })
  const backend: GroupBackend = {
    idBytesMax: 255,
    metadataLengthMax: 100,
    join(_call, _caller, signal) {
      const join = Promise.withResolvers<JoinAnswer>()
      joins.push(join)
      signal.addEventListener('abort', () => join.resolve(joined(-1, Errors.REQUEST_TIMED_OUT)))
      if (signal.aborted) join.resolve(joined(-1, Errors.REQUEST_TIMED_OUT))
      return join.promise
    },
    sync() {
      const sync = Promise.withResolvers<SyncAnswer>()
      syncs.push(sync)
      return sync.promise
    },
    heartbeat: async () => beat.code,
    async leave({ memberId }) {
      calls.push(`leave ${memberId}`)
      return Errors.NONE
    },
    commit: async () => Errors.NONE,
    committed: async () => ({ errorCode: Errors.NONE, row: null }),
  }
  const terms = {
    groupId: 'g',
    caller: { clientId: 'i', clientHost: '/' },
    sessionTimeoutMs: 1000,
    rebalanceTimeoutMs: 1000,
    heartbeatMs: 1,
  }
  const member = new Membership(backend, terms, {
    topics: () => ['t'],
    partitionCount: () => 1,
    release: async ({ generation }) => void calls.push(`release ${generation}`),
    lose: () => calls.push('lose'),
    take: (_assignment, isNext) => calls.push(`take ${isNext}`),
    onState: () => {},
  })
  const synced: SyncAnswer = {
    errorCode: Errors.NONE,
    protocolType: 'consumer',
    protocol: 'range',
    assignment: new Uint8Array(0),
  }
  const join = async (generation: number) => {
    await expect.poll(() => joins.length).toBeGreaterThan(0)
    joins.shift()!.resolve(joined(generation))
  }
  const sync = async (errorCode: number = Errors.NONE) => {
    await expect.poll(() => syncs.length).toBeGreaterThan(0)
    syncs.shift()!.resolve({ ...synced, errorCode })
  }
  return { member, calls, joins, syncs, join, sync, beat }
}

test('a close in the middle of a join commits with the old generation, and leaves', async () => {
  const { member, calls, joins, join, sync, beat } = makeGroup()
  member.rejoin('start')
  await join(1)
  await sync()
  await expect.poll(() => member.isSettled).toBe(true)
  beat.code = Errors.REBALANCE_IN_PROGRESS
  await expect.poll(() => joins.length).toBe(1)
  await member.close('done')
  expect(calls).toEqual(['take false', 'release 1', 'release 1', 'leave me'])
})

test('a close that waits for its assignment gets it first: before, no commit would be taken', async () => {
  const { member, calls, syncs, join, sync, beat } = makeGroup()
  member.rejoin('start')
  await join(1)
  await sync()
  await expect.poll(() => member.isSettled).toBe(true)
  beat.code = Errors.REBALANCE_IN_PROGRESS
  await join(2)
  await expect.poll(() => syncs.length).toBe(1)
  const closed = member.close('done')
  await sync()
  await closed
  expect(calls).toEqual(['take false', 'release 1', 'take true', 'release 2', 'leave me'])
})

test('who was dropped loses what it held, joins as a new member, and counts no generation as the next', async () => {
  const { member, calls, join, sync, beat } = makeGroup()
  member.rejoin('start')
  await join(1)
  await sync()
  await expect.poll(() => member.isSettled).toBe(true)
  beat.code = Errors.UNKNOWN_MEMBER_ID
  await expect.poll(() => calls).toEqual(['take false', 'lose'])
  beat.code = Errors.NONE
  await join(2)
  await sync()
  await expect.poll(() => member.isSettled).toBe(true)
  expect(calls).toEqual(['take false', 'lose', 'take false'])
  await member.close('done')
})

test('a refusal is told and tried again', async () => {
  const { member, joins, join, sync } = makeGroup()
  member.rejoin('start')
  await join(1)
  await sync(Errors.GROUP_MAX_SIZE_REACHED)
  await expect.poll(() => member.state).toBe('failing')
  expect(member.failure).toBe(Errors.GROUP_MAX_SIZE_REACHED)
  await expect.poll(() => joins.length).toBe(1)
  await join(2)
  await sync()
  await expect.poll(() => member.isSettled).toBe(true)
  expect(member.failure).toBe(Errors.NONE)
  await member.close('done')
})
