/** Deadlines, the ring of events, the table of states. */
import { describe, expect, test } from 'vitest'
import { Deadline, secondLookMs } from '../../src/groups/deadline.ts'
import { type GroupState, mayMove, moves } from '../../src/groups/group-states.ts'
import { Timeline, timelineLengthMax } from '../../src/groups/timeline.ts'
import { FakeClock } from '../support/fake-clock.ts'

function deadlineOf(clock: FakeClock) {
  const due: number[] = []
  return { due, deadline: new Deadline(clock, () => due.push(clock.monotonic)) }
}

describe('a deadline', () => {
  test('is due once, a second look after its time', () => {
    const clock = new FakeClock()
    const { due, deadline } = deadlineOf(clock)
    deadline.set(1000)
    clock.advance(10_000)
    expect(due).toEqual([1000 + 1000 + secondLookMs])
    expect([deadline.isSet, clock.timerCount]).toEqual([false, 0])
  })

  test('moves, sooner or later, without a timer for every move', () => {
    const clock = new FakeClock()
    const { due, deadline } = deadlineOf(clock)
    for (let i = 0; i < 100; i++) {
      deadline.set(1000)
      expect(clock.timerCount).toBe(1)
      clock.advance(500)
    }
    expect(due).toEqual([])
    deadline.set(100)
    clock.advance(100 + secondLookMs)
    expect(due).toHaveLength(1)
  })

  test('cleared, it is never due', () => {
    const clock = new FakeClock()
    const { due, deadline } = deadlineOf(clock)
    deadline.set(1000)
    clock.advance(1000)
    deadline.clear()
    clock.advance(10_000)
    expect([due, clock.timerCount]).toEqual([[], 0])
  })

  test('waits after a stall for as long as that was, within its span', () => {
    for (const [stallMs, waitMs] of [
      [1500, 500],
      [500_000, 1000],
    ]) {
      const clock = new FakeClock()
      const { due, deadline } = deadlineOf(clock)
      deadline.set(1000)
      clock.monotonic += stallMs
      clock.advance(waitMs - 1)
      expect(due).toEqual([])
      clock.advance(1)
      expect(due).toHaveLength(1)
    }
  })

  test('but not for ever when every timer is late', () => {
    const clock = new FakeClock()
    const { due, deadline } = deadlineOf(clock)
    deadline.set(1000)
    for (let i = 0; i < 10; i++) {
      clock.monotonic += 5000
      clock.advance(0)
    }
    expect(due).toHaveLength(1)
  })
})

test('the timeline keeps the newest events, oldest first', () => {
  const timeline = new Timeline()
  const count = timelineLengthMax + 5
  for (let i = 0; i < count; i++) {
    timeline.add({ wallMs: i, generation: 1 }, 'joined', null, 'x'.repeat(1000))
  }
  const events = timeline.list()
  expect(events.map(({ wallMs }) => wallMs)).toEqual(
    Array.from({ length: timelineLengthMax }, (_, i) => i + 5),
  )
  expect(events[0].detail).toHaveLength(200)
})

test("the moves are Kafka's: every state but Dead leads on, and all lead to Dead", () => {
  const states = Object.keys(moves) as GroupState[]
  const into = (to: GroupState) => states.filter(from => mayMove(from, to)).toSorted()
  expect(into('Dead')).toEqual(['CompletingRebalance', 'Empty', 'PreparingRebalance', 'Stable'])
  expect(into('PreparingRebalance')).toEqual(['CompletingRebalance', 'Empty', 'Stable'])
  expect(into('CompletingRebalance')).toEqual(['PreparingRebalance'])
  expect(into('Stable')).toEqual(['CompletingRebalance'])
  expect(into('Empty')).toEqual(['PreparingRebalance'])
})
