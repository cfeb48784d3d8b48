/** When an owner's rounds go to its journal. */
import { expect, test } from 'vitest'
import { JournalMode } from '../../workers/journal/mode.ts'

function logOf(flushPolicy: 'group-commit' | 'interval' | 'os', flushedEnd = 0) {
  return { config: { flushPolicy }, state: 'online', offsets: { flushedEnd, logEnd: 1 } }
}

function logs(count: number, policy: 'group-commit' | 'interval' | 'os' = 'group-commit') {
  return Array.from({ length: count }, () => logOf(policy))
}

test('more dirty logs than so many switch it on, however many turns that takes', () => {
  const mode = new JournalMode(4)
  mode.turn(logs(4))
  expect(mode.isOn).toBe(false)
  mode.turn(logs(1))
  expect(mode.isOn).toBe(true)
})

test('logs that are flushed meanwhile do not count', () => {
  const mode = new JournalMode(4)
  const first = logs(4)
  mode.turn(first)
  first[0].offsets.flushedEnd = 1
  mode.turn(logs(1))
  expect(mode.isOn).toBe(false)
})

test.each(['interval', 'os'] as const)(
  'logs under %s, which wait for no journal, do not',
  policy => {
    const mode = new JournalMode(4)
    mode.turn(logs(20, policy))
    mode.turn(logs(4))
    expect(mode.isOn).toBe(false)
  },
)

test('logs that went offline do not, though nothing flushes them any more', () => {
  const mode = new JournalMode(4)
  const first = logs(4)
  mode.turn(first)
  for (const log of first) log.state = 'offline'
  mode.turn(logs(4))
  expect(mode.isOn).toBe(false)
})

test('so many syncs in a row that proved few logs switch it off', () => {
  const mode = new JournalMode(4)
  mode.turn(logs(5))
  for (let sync = 0; sync < 15; sync++) mode.synced(2)
  mode.synced(3)
  for (let sync = 0; sync < 15; sync++) mode.synced(2)
  expect(mode.isOn).toBe(true)
  mode.synced(1)
  expect(mode.isOn).toBe(false)
})
