/** Algorithm 1 against the paper's own example, its properties, and the naive reading of its text. */
import { describe, expect, test } from 'vitest'
import { assign, assignMembers, type StreamOwner, spread } from '../../src/client/group-assign.ts'

const upTo = (count: number): number[] => [...Array(count).keys()]
const streamIds = (count: number): string[] =>
  upTo(count).map(index => `s${String(index).padStart(3, '0')}`)

/** Steps 3.1 to 3.5 as they are written, for one stream C. */
function naive(partitions: readonly number[], streams: readonly string[], c: string): number[] {
  const p = [...partitions].sort((a, b) => a - b)
  const m = [...streams].sort()
  const j = m.indexOf(c)
  const n = Math.floor(p.length / m.length)
  const r = p.length % m.length
  const first = j * n + Math.min(j, r)
  return p.slice(first, first + n + (j < r ? 1 : 0))
}

/** Same numbers on every run. */
function random(seed: number): (end: number) => number {
  let state = seed
  return end => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return Math.floor((state / 2 ** 32) * end)
  }
}

describe('assign', () => {
  test('ten partitions, three streams: 0-3, 4-6, 7-9', () => {
    expect([...assign(upTo(10), ['a', 'b', 'c'])]).toEqual([
      ['a', [0, 1, 2, 3]],
      ['b', [4, 5, 6]],
      ['c', [7, 8, 9]],
    ])
  })

  test('the order in which partitions and streams are named does not matter', () => {
    const expected = assign(upTo(10), ['a', 'b', 'c'])
    expect(assign([9, 0, 5, 1, 8, 2, 7, 3, 6, 4], ['c', 'a', 'b'])).toEqual(expected)
  })

  test('more streams than partitions: the last ones get nothing', () => {
    expect([...assign([0, 1], ['d', 'c', 'b', 'a']).values()]).toEqual([[0], [1], [], []])
  })

  test('nobody, or nothing to read', () => {
    expect(assign(upTo(3), [])).toEqual(new Map())
    expect(assign([], ['a', 'b'])).toEqual(
      new Map([
        ['a', []],
        ['b', []],
      ]),
    )
  })

  test('for every |P| and |M|: what the text says, contiguous, in order, disjoint, complete', () => {
    for (let partitionCount = 0; partitionCount <= 40; partitionCount++) {
      for (let streamCount = 1; streamCount <= 12; streamCount++) {
        const partitions = upTo(partitionCount)
        const streams = streamIds(streamCount)
        const assigned = assign(partitions, streams)
        expect([...assigned.keys()]).toEqual(streams)
        expect([...assigned.values()].flat()).toEqual(partitions)
        for (const [stream, part] of assigned) {
          expect(part).toEqual(naive(partitions, streams, stream))
        }
        const sizes = [...assigned.values()].map(({ length }) => length)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
      }
    }
  })

  test('partition numbers with gaps are ranges of the sorted list', () => {
    expect([...assign([40, 3, 17, 9, 22], ['b', 'a']).values()]).toEqual([
      [3, 9, 17],
      [22, 40],
    ])
  })
})

describe('assignMembers', () => {
  const owner = (
    memberId: string,
    streams: number,
    instance: string | null = null,
  ): StreamOwner => ({
    memberId,
    groupInstanceId: instance,
    streams,
  })

  test('a member with two streams takes part twice', () => {
    expect([...assignMembers(upTo(9), [owner('a', 2), owner('b', 1)])]).toEqual([
      ['a', [0, 1, 2, 3, 4, 5]],
      ['b', [6, 7, 8]],
    ])
  })

  test('static members come first, in the order of their instance ids, whatever their member ids', () => {
    const rows = [owner('a', 1), owner('z', 1, 'one'), owner('b', 1, 'two')]
    expect([...assignMembers(upTo(3), rows)]).toEqual([
      ['a', [2]],
      ['z', [0]],
      ['b', [1]],
    ])
  })

  test('a member id that begins like another does not come between the streams of that one', () => {
    const rows = [owner('a', 3), owner('a-0', 2), owner('a0', 2)]
    const parts = assignMembers(upTo(7), rows)
    expect([...parts.values()]).toEqual([
      [0, 1, 2],
      [3, 4],
      [5, 6],
    ])
  })

  test('a count of streams beyond all measure changes nothing', () => {
    const rows = [owner('b', 2 ** 31 - 1), owner('a', 1), owner('c', 2)]
    expect([...assignMembers(upTo(4), rows)]).toEqual([
      ['b', [1, 2, 3]],
      ['a', [0]],
      ['c', []],
    ])
  })

  test('split again inside a member, each stream has what the paper gives it: 3000 random groups', () => {
    const next = random(7)
    for (let run = 0; run < 3000; run++) {
      const rows = upTo(1 + next(6)).map(index =>
        owner(`m${next(1000)}-${index}`, 1 + next(5), next(3) === 0 ? `i${index}` : null),
      )
      const partitions = upTo(next(30))
      const parts = assignMembers(partitions, rows)
      const ids = rows.flatMap(row =>
        upTo(row.streams).map(stream => ({
          row,
          id: `${row.groupInstanceId === null ? `1${row.memberId}` : `0${row.groupInstanceId}`} ${stream}`,
        })),
      )
      const whole = assign(
        partitions,
        ids.map(({ id }) => id),
      )
      for (const row of rows) {
        const mine = ids.filter(one => one.row === row).map(({ id }) => whole.get(id)!)
        expect(spread(parts.get(row.memberId)!, row.streams)).toEqual(mine)
      }
    }
  })
})
