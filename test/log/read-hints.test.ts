/** Readers of one log that take turns come back without asking the index. */
import { expect, test } from 'vitest'
import { ReadHints } from '../../workers/log/read-hints.ts'
import { Segment } from '../../workers/log/segment.ts'
import { FaultDisk } from '../support/fault-disk.ts'

const disk = new FaultDisk()
const [segment, other] = [0, 1000].map(base => new Segment(disk, '/log', base, 4096))

test('sixteen readers, whose offsets have a divisor in common, are all remembered', () => {
  const hints = new ReadHints()
  for (let round = 0; round < 5; round++) {
    for (let reader = 0; reader < 16; reader++) {
      const offset = 80_000 * reader + 400 * round
      if (round > 0) expect(hints.positionOf(offset, segment)).toBe(offset * 3)
      hints.remember(offset + 400, segment, (offset + 400) * 3)
    }
  }
})

test('readers in step share one place, and the oldest place is forgotten first', () => {
  const hints = new ReadHints()
  for (let reader = 0; reader < 40; reader++) hints.remember(8, segment, 80)
  for (let place = 1; place <= 15; place++) hints.remember(8 + place, segment, 0)
  expect(hints.positionOf(8, segment)).toBe(80)
  hints.remember(100, segment, 0)
  expect(hints.positionOf(8, segment)).toBe(-1)
  expect(hints.positionOf(9, segment)).toBe(0)
})

test('a place in another segment is none', () => {
  const hints = new ReadHints()
  hints.remember(1000, segment, 70)
  expect(hints.positionOf(1000, other)).toBe(-1)
  expect(hints.positionOf(1001, segment)).toBe(-1)
})
