import fc from 'fast-check'
import { Partitioners } from 'kafkajs'
import { describe, expect, test } from 'vitest'
import { spread } from '../../src/client/group-assign.ts'
import { murmur2, murmur2Partitioner } from '../../src/client/partitioner.ts'

describe('murmur2', () => {
  // Vectors of Apache Kafka's UtilsTest.testMurmur2.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('of %s is that of Kafka', (text, expected) => {
    expect(murmur2(Buffer.from(text))).toBe(expected)
  })

  test('sends every key to the partition that kafkajs chooses', () => {
    const theirs = Partitioners.DefaultPartitioner()
    const key = fc.uint8Array({ minLength: 1, maxLength: 40 }).map(bytes => Buffer.from(bytes))
    fc.assert(
      fc.property(key, fc.integer({ min: 1, max: 200 }), (bytes, partitionCount) => {
        const partitionMetadata = Array.from({ length: partitionCount }, (_, partitionId) => ({
          partitionId,
          partitionErrorCode: 0,
          leader: 0,
          replicas: [],
          isr: [],
        }))
        const expected = theirs({
          topic: 't',
          partitionMetadata,
          message: { key: bytes, value: null },
        })
        expect(murmur2Partitioner(bytes, partitionCount)).toBe(expected)
      }),
    )
  })
})

describe('spread', () => {
  test('ranges are in order, contiguous, cover everything, and differ by one at most', () => {
    fc.assert(
      fc.property(fc.nat(50), fc.integer({ min: 1, max: 60 }), (partitionCount, streamCount) => {
        const partitions = Array.from({ length: partitionCount }, (_, index) => index)
        const parts = spread(partitions, streamCount)
        expect(parts).toHaveLength(streamCount)
        expect(parts.flat()).toEqual(partitions)
        const sizes = parts.map(part => part.length)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
      }),
    )
  })

  test("is the paper's example: 10 partitions over 3 streams", () => {
    expect(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3)).toEqual([
      [0, 1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
    ])
  })
})
