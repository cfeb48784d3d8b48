/** What `odradek groups reset` makes of its flags, and where each partition goes. Without a broker. */
import { describe, expect, test } from 'vitest'
import { moveTo, type Standing, type Target } from '../../src/admin/offset-moves.ts'
import { ranges } from '../../src/cli/groups-describe.ts'
import { checkResetFlags } from '../../src/cli/groups-reset.ts'

const flags = { bootstrap: '', admin: '', json: false, allTopics: false, dryRun: false }
const standing: Standing = {
  topic: 't',
  partition: 1,
  committed: 50,
  logStart: 10,
  logEnd: 90,
  atTime: null,
}

describe('where a partition goes', () => {
  test.each<[Target, Partial<Standing>, number, string | null]>([
    [{ kind: 'earliest' }, {}, 10, null],
    [{ kind: 'latest' }, {}, 90, null],
    [{ kind: 'latest' }, { logStart: 90 }, 90, null],
    [{ kind: 'offset', offset: 10 }, {}, 10, null],
    [{ kind: 'offset', offset: 90 }, {}, 90, null],
    [{ kind: 'offset', offset: 9 }, {}, 10, '9 is before the start of the log'],
    [{ kind: 'offset', offset: 91 }, {}, 90, '91 is beyond the end of the log'],
    [{ kind: 'time', timeMs: 5 }, { atTime: 33 }, 33, null],
    [{ kind: 'time', timeMs: 5 }, { atTime: -1 }, 90, 'no record from then on: the end'],
    // Records may have been deleted between the two look-ups.
    [{ kind: 'time', timeMs: 5 }, { atTime: 7 }, 10, '7 is before the start of the log'],
    [{ kind: 'shift', by: 5 }, {}, 55, null],
    [{ kind: 'shift', by: -50 }, {}, 10, '0 is before the start of the log'],
    [{ kind: 'shift', by: -60 }, {}, 10, '-10 is before the start of the log'],
    [{ kind: 'shift', by: 1 }, { committed: 0 }, 10, '1 is before the start of the log'],
  ])('%j of %j: %i, %s', (target, change, after, note) => {
    const move = moveTo(target, { ...standing, ...change })
    expect(move).toMatchObject({ topic: 't', partition: 1, after, note })
    expect(move.before).toBe(change.committed ?? 50)
  })

  test('without a committed offset there is nothing to shift', () => {
    const move = () => moveTo({ kind: 'shift', by: 1 }, { ...standing, committed: null })
    expect(move).toThrow('t-1: nothing is committed that could be shifted; say where to go')
  })
})

describe('the flags', () => {
  test('name topics, some of their partitions, or all that is committed', () => {
    const topics = (...topic: string[]) => checkResetFlags({ ...flags, topic, to: '5' }).topics
    expect(topics('a', 'b:1')).toEqual(
      new Map([
        ['a', null],
        ['b', new Set([1])],
      ]),
    )
    expect(topics('a:3,1', 'a:1,2')).toEqual(new Map([['a', new Set([3, 1, 2])]]))
    expect(topics('a:3', 'a')).toEqual(new Map([['a', null]]))
    expect(topics('a', 'a:3')).toEqual(new Map([['a', null]]))
    expect(checkResetFlags({ ...flags, allTopics: true, to: '5' }).topics).toBeNull()
  })

  test.each<[string, Target]>([
    ['earliest', { kind: 'earliest' }],
    ['beginning', { kind: 'earliest' }],
    ['latest', { kind: 'latest' }],
    ['end', { kind: 'latest' }],
    ['0', { kind: 'offset', offset: 0 }],
    ['2026', { kind: 'offset', offset: 2026 }],
    ['2026-01-31', { kind: 'time', timeMs: Date.UTC(2026, 0, 31) }],
    ['2026-01-31T12:00:00Z', { kind: 'time', timeMs: Date.UTC(2026, 0, 31, 12) }],
  ])('--to %s', (to, target) => {
    expect(checkResetFlags({ ...flags, allTopics: true, to }).target).toEqual(target)
  })

  test.each(['', '-1', '1.5', 'now', '2026-13-01', '31.01.2026', '9'.repeat(17)])(
    '--to %s is refused',
    to => {
      expect(() => checkResetFlags({ ...flags, allTopics: true, to })).toThrow(
        'it must be earliest',
      )
    },
  )
})

test('partitions are printed as ranges', () => {
  expect(ranges([])).toBe('')
  expect(ranges([4])).toBe('4')
  expect(ranges([3, 10, 2, 1, 7, 8])).toBe('1-3,7-8,10')
})
