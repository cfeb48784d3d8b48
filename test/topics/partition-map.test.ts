/** Placement of partitions on owner threads. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PartitionMap } from '../../src/partitions/partition-map.ts'

test('round-robin runs over all partitions, whatever topics they belong to', () => {
  const map = new PartitionMap(3)
  expect([0, 1].map(index => map.place('a', index))).toEqual([0, 1])
  expect(map.place('b', 0)).toBe(2)
  expect(map.place('__proto__', 0)).toBe(0)
  expect(map.place('a', 2)).toBe(1)
  expect([0, 1, 2, 3].map(index => map.ownerOf('a', index))).toEqual([0, 1, 1, undefined])
  expect(map.ownerOf('constructor', 0)).toBe(undefined)
  expect(map.loads()).toEqual([2, 2, 1])
})

test('without removals no owner has more than one partition above another', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.array(fc.integer({ min: 1, max: 9 })),
      (owners, topics) => {
        const map = new PartitionMap(owners)
        topics.forEach((count, topic) => {
          for (let index = 0; index < count; index++) map.place(`t${topic}`, index)
        })
        expect(Math.max(...map.loads()) - Math.min(...map.loads())).toBeLessThanOrEqual(1)
      },
    ),
  )
})

test('a removed topic gives its places back and may come again', () => {
  const map = new PartitionMap(2)
  map.place('a', 0)
  map.place('b', 0)
  map.remove('a')
  map.remove('never-there')
  expect(map.ownerOf('a', 0)).toBe(undefined)
  expect(map.loads()).toEqual([0, 1])
  expect(map.place('a', 0)).toBe(0)
})

test('placing a partition twice or out of order is a defect', () => {
  const map = new PartitionMap(2)
  map.place('a', 0)
  expect(() => map.place('a', 0)).toThrow(/in order/)
  expect(() => map.place('a', 2)).toThrow(/in order/)
})
