/** What the watchdog takes for a sign of life. */
import { expect, test } from 'vitest'
import { Pulse } from '../../src/ring/pulse.ts'

function both(): { owner: Pulse; watchdog: Pulse } {
  const memory = new SharedArrayBuffer(Pulse.bytes())
  return { owner: new Pulse(memory), watchdog: new Pulse(memory) }
}

test('a turn is one, and a system call that ended outside of a round', () => {
  const { owner, watchdog } = both()
  expect(watchdog.beats).toBe(0)
  owner.beat()
  expect(watchdog.beats).toBe(1)
  owner.enter()
  expect([watchdog.beats, watchdog.isInCall]).toEqual([1, true])
  owner.leave()
  expect([watchdog.beats, watchdog.isInCall]).toEqual([2, false])
})

test('system calls within a round are none: a loop that reads for ever is stuck', () => {
  const { owner, watchdog } = both()
  owner.beat()
  owner.isInRound = true
  for (let i = 0; i < 1000; i++) {
    owner.enter()
    expect(watchdog.isInCall).toBe(true)
    owner.leave()
  }
  expect([watchdog.beats, watchdog.isInCall]).toEqual([1, false])
})
