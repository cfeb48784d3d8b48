/** When the journal of an owner fails, is full, or is all that has a log's records. */
import { expect, test } from 'vitest'
import { seeded } from '../support/fault-disk.ts'
import { readJournals } from '../support/read-journals.ts'
import { JournalLife } from './journal-life.ts'

/** A life whose journal has just taken its first rounds; its syncs are under way. */
async function begun(): Promise<JournalLife> {
  const life = new JournalLife(seeded(1), 4)
  life.start(true)
  // The first syncs of new logs bring their directories to disk.
  for (const slot of life.models.keys()) life.append(slot)
  while (life.disk.completeSyncs() > 0);
  life.journal.mode.isOn = true
  life.journal.turnEnds([])
  for (let wait = 0; wait < 5; wait++) await Promise.resolve()
  expect(life.journal.isTaking).toBe(true)
  return life
}

test('one sync proves what all logs took', async () => {
  const life = await begun()
  for (const slot of [0, 1, 2, 3]) life.append(slot)
  life.journal.turnEnds(life.logs)
  expect(life.disk.syncsInFlight).toBe(1)
  expect(life.logs.map(({ offsets }) => offsets.highWatermark)).toEqual([1, 1, 1, 1])
  life.disk.completeSyncs(1)
  expect(life.logs.map(({ offsets }) => offsets.highWatermark)).toEqual([2, 2, 2, 2])
  expect(life.logs.map(({ offsets }) => offsets.recoveryPoint)).toEqual([1, 1, 1, 1])
  expect(life.disk.syncsInFlight).toBe(0)
})

test('left alone for a second, it has the segments synced and begins anew', async () => {
  const life = await begun()
  for (const slot of [0, 1, 2, 3]) life.append(slot)
  life.journal.turnEnds(life.logs)
  life.disk.completeSyncs()
  life.clock.advance(1_000)
  while (life.disk.completeSyncs() > 0);
  expect(life.logs.map(({ offsets }) => offsets.recoveryPoint)).toEqual([2, 2, 2, 2])
  expect(life.journal.isTaking).toBe(false)
})

test.each(['write', 'sync'] as const)(
  'a %s that fails takes its logs offline, no other',
  async kind => {
    const life = await begun()
    for (const slot of [0, 1]) life.append(slot)
    life.disk.onOperation = ({ kind: what, path }) => {
      return what === kind && path.includes('journal') ? { code: 'EIO' } : null
    }
    life.journal.turnEnds(life.logs.slice(0, 2))
    life.disk.completeSyncs()
    life.disk.onOperation = () => null
    expect(life.logs.map(({ state }) => state)).toEqual(['offline', 'offline', 'online', 'online'])
    expect(life.logs[0].offsets.highWatermark).toBe(1)
    // The others sync their segments from now on.
    expect(life.journal.isTaking).toBe(false)
    life.append(2)
    life.journal.turnEnds(life.logs)
    while (life.disk.completeSyncs() > 0);
    expect(life.logs[2].offsets).toMatchObject({ recoveryPoint: 2, highWatermark: 2 })
  },
)

test('with both files in use, logs sync their segments', async () => {
  const life = await begun()
  life.disk.onOperation = ({ kind, path }) => {
    return kind === 'sync' && path.includes('t-0/') ? { code: 'EIO' } : null
  }
  for (let turn = 0; turn < 200 && life.counts.refused === 0; turn++) {
    for (const slot of [0, 1, 2, 3]) life.append(slot)
    life.journal.turnEnds(life.logs)
    while (life.disk.completeSyncs() > 0);
  }
  // A log that cannot sync keeps its file in use.
  expect(life.logs[0].state).toBe('offline')
  expect(life.counts.refused).toBe(1)
  const { recoveryPoint, logEnd } = life.logs[1].offsets
  expect(recoveryPoint).toBe(logEnd)
})

test('a log comes back with what only the journal has', async () => {
  const life = await begun()
  life.append(0)
  life.journal.turnEnds(life.logs)
  life.disk.completeSyncs()
  expect(life.logs[0].offsets.flushedEnd).toBe(2)
  const path = `${life.directory(0)}/00000000000000000000.log`
  const first = life.models[0].batches[0].length
  life.logs[0].roundFailed(new Error('the sync of a segment failed'))
  // The page cache gave up the bytes, the platter never had them.
  life.disk.setBytes(
    path,
    Buffer.concat([life.disk.bytesOf(path).subarray(0, first), Buffer.alloc(50)]),
  )
  life.bringBack(0)
  life.check(true)
})

test('a turn that no file could hold leaves the journal as it is', async () => {
  const life = await begun()
  for (const slot of [0, 1, 2, 3]) life.append(slot)
  life.journal.turnEnds(life.logs)
  for (let batch = 0; batch < 30; batch++) life.append(batch % 4)
  life.journal.turnEnds(life.logs)
  expect(life.counts.refused).toBe(1)
  while (life.disk.completeSyncs() > 0);
  for (const slot of [0, 1, 2, 3]) life.append(slot)
  life.journal.turnEnds(life.logs)
  const rounds = readJournals(life.disk, life.paths).map(contents => contents.rounds)
  expect(rounds).toEqual([0, 2])
})
