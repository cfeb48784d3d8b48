/** When owner threads may use their journals: never while a log may still need what is in them. */
import { expect, test } from 'vitest'
import { Journals, type JournalsOptions } from '../../src/partitions/journals.ts'

const topics = [{ name: 'clicks', id: 'abcdefghijklmnopqrstuw', partitions: 1 }]
const directory = '/data/clicks-0'

/** Two owners that note who was told to begin, and logs that are online unless said otherwise. */
function journalsOf(failed: readonly { directory: string; reason: string }[] = []) {
  const begun: number[] = []
  const broken = new Set<number>()
  const inputs: unknown[] = []
  const owners = [0, 1].map(index => ({ index, call: async () => begun.push(index) }))
  const tasks = {
    replayJournals: async (input: unknown) => {
      inputs.push(input)
      return { logs: [], rounds: 0, writtenBytes: 0, failed }
    },
  }
  const options = {
    dataDirectory: '/data',
    ownerCount: 2,
    owners,
    tasks,
    log: { warn() {}, error() {} },
    journalBytes: 1,
    isWhole: (index: number) => !broken.has(index),
  }
  const of = (journalBytes: number): Journals =>
    new Journals({ ...options, journalBytes } as unknown as JournalsOptions)
  return { journals: of(1), begun, broken, inputs, of, tasks }
}

test('all owners begin when the logs of the start are open', async () => {
  const { journals, begun } = journalsOf()
  await journals.replay(false, topics, new Map())
  journals.settled(0)
  expect(begun).toEqual([])
  journals.opened()
  expect(begun).toEqual([0, 1])
})

test('one that died begins when the last of its logs is online again, or gone', () => {
  const { journals, begun, broken } = journalsOf()
  journals.opened()
  begun.length = 0
  journals.ownerDied(1)
  broken.add(1)
  journals.settled(1)
  expect(begun).toEqual([])
  broken.clear()
  journals.settled(0)
  expect(begun).toEqual([])
  journals.settled(1)
  journals.settled(1)
  expect(begun).toEqual([1])
})

test('one that died during the start begins at its end, if its logs came back by then', () => {
  const { journals, begun, broken } = journalsOf()
  journals.ownerDied(0)
  journals.ownerDied(1)
  journals.settled(0)
  broken.add(1)
  journals.opened()
  expect(begun).toEqual([0])
})

test('none begins when a log could not be filled, even after its topic is gone', async () => {
  const { journals, begun } = journalsOf([{ directory, reason: 'ENOSPC' }])
  await journals.replay(false, topics, new Map())
  expect(journals.refusalOf(directory)).toMatch('ENOSPC')
  journals.opened()
  journals.forget(directory)
  journals.ownerDied(0)
  journals.settled(0)
  expect(begun).toEqual([])
  // A topic that is made anew under the same name has nothing to do with it.
  expect(journals.refusalOf(directory)).toBe(null)
})

test('a journal that cannot be read ends the start, and says what it was', async () => {
  const { journals, tasks } = journalsOf()
  tasks.replayJournals = async () => {
    throw new Error('EIO: i/o error, read')
  }
  const replayed = journals.replay(false, topics, new Map())
  await expect(replayed).rejects.toThrow('the journals in /data cannot be replayed: EIO')
})

test('switched off, the files of all owners are replayed and removed', async () => {
  const { of, inputs } = journalsOf()
  await of(0).replay(false, topics, new Map())
  await of(1).replay(false, topics, new Map())
  expect(inputs).toMatchObject([{ ownerCount: 0 }, { ownerCount: 2 }])
})
