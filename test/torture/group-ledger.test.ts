/** The checker of groups notices every promise that is not kept. */
import { describe, expect, test } from 'vitest'
import { GroupLedger } from './group-ledger.ts'
import type { Note } from './group-notes.ts'

const part = (ms: number, generation: number, memberId: string, partitions = [0]): Note => ({
  kind: 'part',
  startMs: ms,
  endMs: ms + 1,
  generation,
  memberId,
  groupInstanceId: null,
  partitions,
})
const found = (ms: number, offset: number): Note => ({
  kind: 'found',
  startMs: ms,
  endMs: ms + 1,
  partition: 0,
  offset,
})
const processed = (from: number, to: number): Note => ({
  kind: 'processed',
  partition: 0,
  from,
  to,
})
const sent = (ms: number, generation: number, offset: number): Note => ({
  kind: 'sent',
  startMs: ms,
  generation,
  partition: 0,
  offset,
})
const acked = (ms: number): Note => ({ kind: 'acked', endMs: ms })

/** Takes the notes of two members, all that they had noted before 1000. */
function take(one: readonly Note[], two: readonly Note[] = []): GroupLedger {
  const ledger = new GroupLedger('group', 1)
  ledger.take(new Map(Object.entries({ one, two })), 1000)
  return ledger
}

const good: readonly Note[] = [
  part(10, 1, 'a'),
  found(12, -1),
  processed(0, 5),
  sent(20, 1, 5),
  acked(21),
]

describe('the ledger of a group', () => {
  test('has nothing to say when another member goes on where the first one was', () => {
    const next = [part(30, 2, 'b'), found(32, 5), processed(5, 9), sent(40, 2, 9), acked(41)]
    const ledger = take(good, next)
    expect([ledger.ackedCount, ledger.partCount, ledger.processedEnd(0)]).toEqual([2, 2, 9])
    expect(ledger.staleParts).toEqual([good[0]])
    ledger.checkFound({ partition: 0, startMs: 50, endMs: 51, offset: 9 })
  })

  test('a commit that was not answered may be found, or not', () => {
    const doubtful = [...good, processed(5, 7), sent(25, 1, 7)]
    take(doubtful, [part(30, 2, 'b'), found(32, 7)])
    take(doubtful, [part(30, 2, 'b'), found(32, 5)])
  })

  test.each([
    ['lost', [part(30, 2, 'b'), found(32, -1)]],
    ['phantom', [part(30, 2, 'b'), found(32, 6)]],
    ['skipped', [part(30, 2, 'b'), processed(8, 9), sent(31, 2, 9), found(32, 9)]],
    ['nonmonotonic: group: generation', [part(30, 3, 'b'), part(32, 2, 'b')]],
    ['nonmonotonic: group, partition 0', [part(30, 2, 'b'), sent(31, 2, 3), acked(32)]],
    ['two-owners', [part(30, 1, 'b')]],
    ['not-fenced', [part(30, 2, 'b'), processed(5, 6), sent(40, 1, 6), acked(41)]],
    ['unexpected', [acked(41)]],
  ] as const)('says %s', (message, notes) => {
    expect(() => take(good, notes)).toThrow(message)
  })

  test('waits with what was found while others had not been read', () => {
    const ledger = take(good, [found(999, 8)])
    const later = [processed(5, 8), sent(998, 1, 8)]
    ledger.take(new Map([['one', later]]), 2000)
    expect(() =>
      ledger.checkFound({ partition: 0, startMs: 3000, endMs: 3001, offset: 9 }),
    ).toThrow()
  })
})
