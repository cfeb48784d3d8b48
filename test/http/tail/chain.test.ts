/** The chain of chunks against a list that forgets nothing. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Chain } from '../../../src/http/tail/chain.ts'
import type { Chunk } from '../../../src/http/tail/chunk.ts'

interface Step {
  readonly slot: number
  readonly records: number
  readonly bytes: number
}

const steps = fc.array(fc.record({ slot: fc.nat(3), records: fc.nat(2), bytes: fc.nat(40) }), {
  maxLength: 60,
})

function chunkOf({ slot, records, bytes }: Step, from: number): Chunk {
  const next = from + records
  return { slot, from, next, bytes: Buffer.alloc(bytes), ends: [], nexts: [] }
}

test('a follower finds the newest link it can go on with, wherever it stands; others do not', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 200 }), (list, bytesMax) => {
      const chain = new Chain([0, 0, 0, 0])
      /** Positions in front of every chunk ever made. */
      const history: number[][] = [[0, 0, 0, 0]]
      for (const step of list) {
        chain.push(chunkOf(step, chain.positions[step.slot]), bytesMax)
        history.push([...chain.positions])
      }
      expect(chain.endSeq).toBe(list.length)
      const oldest = history.findIndex((_, seq) => seq === list.length || chain.at(seq) !== null)
      for (const positions of history) {
        const same = (other: number[]) => other.every((offset, slot) => offset === positions[slot])
        const newest = history.findLastIndex(same)
        expect(chain.seqAt(positions)).toBe(newest >= oldest ? newest : -1)
      }
      expect(chain.seqAt([0, 0, 0, 1_000_000])).toBe(-1)
    }),
  )
})

test('what is kept is bounded, and the newest chunk always stays', () => {
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 200 }), (list, bytesMax) => {
      const chain = new Chain([0, 0, 0, 0])
      for (const [seq, step] of list.entries()) {
        chain.push(chunkOf(step, chain.positions[step.slot]), bytesMax)
        expect(chain.at(seq)?.bytes).toHaveLength(step.bytes)
        let kept = 0
        let count = 0
        for (let at = seq; chain.at(at) !== null; at--, count++) kept += chain.at(at)!.bytes.length
        expect(count === 1 || kept <= bytesMax).toBe(true)
        expect(chain.at(seq + 1)).toBeNull()
      }
    }),
  )
})

test('a follower from before a partition was added finds its link', () => {
  const chain = new Chain([5])
  chain.positions.push(0)
  expect(chain.seqAt([5])).toBe(0)
  chain.push(chunkOf({ slot: 1, records: 2, bytes: 9 }, 0), 100)
  expect(chain.seqAt([5])).toBe(0)
  expect(chain.seqAt([5, 2])).toBe(1)
})
