/** Faults that the simulation (npm run sim) found first, made small. Each names what was wrong. */
import { expect, test } from 'vitest'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import type { ScrubInput } from '../../src/contracts/scrub.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { BatchReader } from '../../workers/log/compaction/batch-reader.ts'
import { lostRange } from '../../workers/log/quarantine.ts'
import { scrubSlice } from '../../workers/log/scrub-slice.ts'
import { Scrubber } from '../../workers/log/scrubber.ts'
import { seeded } from '../support/fault-disk.ts'
import { directory, expectSame, LogHarness, makeBatch } from './log-kit.ts'
import { deleteRecords, filled } from './retention-kit.ts'

const DAY = 86_400_000
const YEARS = 1_500 * DAY

test('a log start that only the page cache knows of is made durable before anything is removed', () => {
  const kit = filled({}, 9)
  let isAnswered = false
  kit.log.retention.deleteRecords(4, () => {
    isAnswered = true
  })
  // The new file is synced and renamed; the sync of the directory never comes.
  kit.disk.completeSyncs(1)
  expect(isAnswered).toBe(false)
  kit.disk.kill()
  kit.open({ recover: true })
  const served = kit.log.offsets.logStart
  expect(served).toBe(4)
  kit.disk.powerCut(() => 0.9)
  kit.open({ recover: true })
  expect(kit.log.offsets.logStart).toBe(served)
  expect(kit.readAll()).toHaveLength(5)
})

test('nothing is appended to a damaged segment that ends below the log start', () => {
  const kit = new LogHarness({ flushPolicy: 'os' }).open()
  for (let mark = 0; mark < 9; mark++) kit.append(makeBatch({ mark }))
  deleteRecords(kit, 7)
  kit.settle()
  const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
  kit.disk.kill()
  // A bad batch with valid ones behind it.
  kit.disk.setBytes(kit.path(0, 'log'), Buffer.concat([Buffer.alloc(50, 7), bytes]))
  kit.open({ recover: true })
  expect(kit.log.offsets).toMatchObject({ logStart: 7, logEnd: 7 })
  expect(kit.log.active.baseOffset).toBe(7)
  const batch = makeBatch({ mark: 100 })
  kit.append(batch)
  kit.settle()
  expectSame(kit.readAll(), [batch])
})

test('bad bytes behind the start of the next segment are nobody’s loss', () => {
  const kit = filled({}, 9)
  expect(kit.closeClean()).toBe(true)
  const first = kit.disk.bytesOf(kit.path(0, 'log'))
  const third = kit.disk.bytesOf(kit.path(4, 'log'))
  // As recovery leaves it when it has copied a tail into a file of its own and the cut was lost.
  kit.disk.setBytes(kit.path(0, 'log'), Buffer.concat([first, third]))
  kit.open()
  const range = { startPosition: 0, endPosition: first.length, firstOffset: 0, nextOffset: -1 }
  expect(lostRange(kit.log, kit.log.segments[0], range)).toEqual({ firstOffset: 0, nextOffset: 2 })
})

test('producers that sent while the wall clock was wrong are known when it is right again', () => {
  const kit = new LogHarness().open()
  const send = (baseSequence: number) =>
    kit.append(makeBatch({ producerId: 7, producerEpoch: 0, baseSequence }))[0]
  kit.clock.wall -= YEARS
  send(0)
  kit.settle()
  kit.clock.wall += YEARS
  kit.log.retention.expireProducers(DAY)
  expect(send(0)).toMatchObject({ duplicate: true, baseOffset: 0 })
  kit.clock.wall -= YEARS
  send(1)
  expect(kit.closeClean()).toBe(true)
  kit.clock.wall += YEARS
  kit.open()
  kit.log.retention.expireProducers(DAY)
  expect(send(1)).toMatchObject({ duplicate: true, baseOffset: 1 })
})

test('a log whose last checkpoint the disk refuses has not stopped clean', () => {
  const kit = new LogHarness().open()
  kit.append(makeBatch())
  kit.settle()
  kit.disk.onOperation = ({ kind, path }) =>
    kind === 'create' && path.endsWith('.window') ? { code: 'ENOSPC' } : null
  expect(kit.closeClean()).toBe(false)
})

test('a scrub that gets no descriptor goes on later', async () => {
  const kit = filled({}, 9)
  expect(kit.closeClean()).toBe(true)
  kit.open()
  const failures: Error[] = []
  let bytes = 0
  const logs: LogHarness['log'][] = []
  const scrubber = new Scrubber({
    clock: kit.clock,
    tasks: { run: async (_, input) => scrubSlice(kit.disk, input as ScrubInput) },
    logs,
    intervalMs: DAY,
    bytesPerSecondMax: 1024 * 1024,
    onProgress: done => {
      bytes += done
    },
    onFailure: (_, error) => failures.push(error),
  })
  const pass = async (): Promise<void> => {
    for (let minute = 0; minute < 2 * 24 * 60; minute++) {
      kit.clock.advance(60_000)
      for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    }
  }
  scrubber.start()
  // Nobody has asked for the sizes of its segments yet, so that a look at them opens files.
  logs[kit.log.slot] = kit.log
  kit.disk.onOperation = ({ kind }) => (kind === 'open' ? { code: 'EMFILE' } : null)
  await pass()
  expect(failures.length).toBeGreaterThan(0)
  expect(bytes).toBe(0)
  kit.disk.onOperation = () => null
  await pass()
  expect(bytes).toBeGreaterThan(0)
  scrubber.stop()
})

test('a partition.metadata of which only a part came before the power went is written anew', () => {
  const kit = new LogHarness().open()
  expect(kit.closeClean()).toBe(true)
  const path = `${directory}/partition.metadata`
  const whole = kit.disk.bytesOf(path)
  for (let kept = 0; kept < whole.length; kept++) {
    kit.disk.setBytes(path, Buffer.concat([whole.subarray(0, kept), Buffer.alloc(44 - kept)]))
    kit.open()
    expect(kit.disk.bytesOf(path).equals(whole)).toBe(true)
    expect(kit.closeClean()).toBe(true)
  }
})

test('compaction reads nothing behind the end of a segment, also where a gap hides that end', () => {
  const kit = new LogHarness().open()
  for (let mark = 0; mark < 9; mark++) kit.append(makeBatch({ mark }))
  kit.settle()
  const batches = kit.readAll()
  // Offsets 1 and 2 were compacted; 3 and on lie in the next segment, and here is what its copy left behind.
  kit.disk.setBytes(kit.path(0, 'log'), Buffer.concat([batches[0], batches[3], batches[4]]))
  const file = kit.disk.open(kit.path(0, 'log'), 'r')
  const reader = new BatchReader(() => {})
  reader.start(file, file.sizeBytes(), { baseOffset: 0, endOffset: 3 })
  expect(reader.next()?.equals(batches[0])).toBe(true)
  expect(reader.isAtEnd).toBe(true)
  expect(reader.next()).toBe(null)
})

test('what a power cut leaves of the time index of a whole segment is right or rebuilt', () => {
  for (let cut = 1; cut <= 20; cut++) {
    const kit = new LogHarness({ segmentBytesMax: 2_000, indexIntervalBytes: 64 }).open()
    for (let mark = 0; mark < 60; mark++) {
      kit.append(makeBatch({ mark, timestampMs: 1_000 + mark * 10 }))
      if (mark % 7 === 0) kit.settle()
    }
    kit.settle()
    // A note that vouches for all that came before.
    kit.clock.advance(6_000)
    expect(kit.names().filter(name => name.endsWith('.window'))).toHaveLength(1)
    expect(kit.log.segments.length).toBeGreaterThan(2)
    const end = kit.log.offsets.recoveryPoint
    kit.disk.powerCut(seeded(cut))
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(end)
    for (let mark = 0; mark < end; mark++) {
      expect(kit.log.findByTime(1_000 + mark * 10)?.baseOffset, `cut ${cut}`).toBe(mark)
    }
  }
})

test('after a change from `os` a duplicate is answered once the original is flushed', () => {
  const kit = new LogHarness({ flushPolicy: 'os' }).open()
  const send = () => kit.stage(makeBatch({ producerId: 7, producerEpoch: 0, baseSequence: 0 }))
  send()
  expect(kit.log.commit()).toBe(Errors.NONE)
  expect(send()).toMatchObject({ error: Errors.NONE, duplicate: true, baseOffset: 0 })
  // Also under `interval`, with nothing that would make a round due.
  kit.log.applyConfig({ ...kit.config, flushPolicy: 'interval' })
  expect(kit.log.offsets).toMatchObject({ highWatermark: 1, recoveryPoint: 0 })
  expect(send()).toMatchObject({ error: Errors.REQUEST_TIMED_OUT, duplicate: false })
  kit.settle()
  expect(send()).toMatchObject({ error: Errors.NONE, duplicate: true, baseOffset: 0 })
})

test('records of a log that was never flushed are deleted for good', () => {
  for (let cut = 1; cut <= 10; cut++) {
    const kit = new LogHarness({ flushPolicy: 'os' }).open()
    for (let mark = 0; mark < 5; mark++) kit.append(makeBatch({ mark }))
    let isAnswered = false
    kit.log.retention.deleteRecords(3, () => {
      isAnswered = true
    })
    while (!isAnswered) kit.disk.completeSyncs(1)
    kit.disk.powerCut(seeded(cut))
    kit.open({ recover: true })
    expect(kit.log.offsets.logStart).toBe(3)
  }
})

/** Twelve batches, the first four flushed, the others under a sync that fails and that nobody hears of. */
function failedUnheard(config: Partial<LogConfig>): { kit: LogHarness; batches: Buffer[] } {
  const kit = new LogHarness({ segmentBytesMax: 400, ...config }).open()
  const batches = Array.from({ length: 12 }, (_, mark) => makeBatch({ mark }))
  for (const batch of batches.slice(0, 4)) kit.append(batch)
  kit.settle()
  for (const batch of batches.slice(4)) kit.append(batch)
  const isRecords = (path: string): boolean => path.endsWith('.log')
  kit.disk.onOperation = ({ kind, path }) =>
    kind === 'sync' && isRecords(path) ? { code: 'EIO' } : null
  kit.settle()
  kit.disk.onOperation = () => null
  return { kit, batches }
}

test.each(['group-commit', 'interval'] as const)(
  'under %s an owner dies over a sync that fails: the next one proves what it says',
  flushPolicy => {
    for (let cut = 1; cut <= 10; cut++) {
      const { kit, batches } = failedUnheard({ flushPolicy, flushMessages: 2 })
      const { flushedEnd: flushedOffset } = kit.log.offsets
      expect(flushedOffset).toBeLessThan(12)
      kit.disk.kill()
      kit.open({ recover: true, copyForward: false, flushedOffset })
      kit.settle()
      expect(kit.log.offsets).toMatchObject({ flushedEnd: 12, highWatermark: 12 })
      kit.disk.powerCut(seeded(cut))
      kit.open({ recover: true })
      expectSame(kit.readAll(), batches)
    }
  },
)

test('under `os` a process dies over a sync that fails: the next one proves what it says', () => {
  for (let cut = 1; cut <= 10; cut++) {
    const { kit, batches } = failedUnheard({ flushPolicy: 'os' })
    kit.disk.kill()
    kit.open({ recover: true })
    kit.settle()
    const { flushedEnd } = kit.log.offsets
    expect(flushedEnd).toBe(12)
    kit.disk.powerCut(seeded(cut))
    kit.open({ recover: true })
    expectSame(kit.readAll(), batches)
  }
})

test('under `os` nothing is written again as long as no flush was tried', () => {
  const kit = new LogHarness({ flushPolicy: 'os' }).open()
  for (let mark = 0; mark < 5; mark++) kit.append(makeBatch({ mark }))
  const written = (): number => {
    let bytes = 0
    kit.disk.onOperation = operation => {
      if (operation.kind === 'write' && operation.path.endsWith('.log')) bytes += operation.bytes
      return null
    }
    kit.open({ recover: true })
    kit.disk.onOperation = () => null
    return bytes
  }
  kit.disk.kill()
  expect(written()).toBe(0)
  // What it found was due to be flushed at once. Nobody hears what became of that.
  kit.disk.kill()
  expect(written()).toBe(kit.log.active.sizeBytes)
  kit.settle()
  kit.append(makeBatch({ mark: 5 }))
  kit.disk.kill()
  expect(written()).toBe(0)
})

test('indexes that could not be read are not taken for empty ones', () => {
  const kit = filled({ indexIntervalBytes: 64 }, 9)
  expect(kit.closeClean()).toBe(true)
  kit.open()
  kit.disk.onOperation = ({ kind }) => (kind === 'open' ? { code: 'EMFILE' } : null)
  const [first] = kit.log.segments
  expect(() => first.indexes.maxTimestampMs).toThrow('EMFILE')
  kit.disk.onOperation = () => null
  expect(kit.log.findByTime(0)?.baseOffset).toBe(0)
})

test('indexes of a segment that recovery has made whole are on disk, names and all', () => {
  for (const isFailed of [false, true]) {
    for (let cut = 1; cut <= 20; cut++) {
      const kit = new LogHarness({ indexIntervalBytes: 64 }).open()
      const append = (mark: number) =>
        kit.append(makeBatch({ mark, timestampMs: 1_000 + mark * 10 }))
      // With the checkpoint come index files that nobody syncs.
      const checkpoint = (): void => {
        kit.settle()
        kit.clock.advance(6_000)
      }
      for (let mark = 0; mark < 9; mark++) {
        append(mark)
        if (mark === 4) checkpoint()
      }
      if (isFailed) kit.settle()
      kit.disk.kill()
      const { flushedEnd } = kit.log.offsets
      kit.open({ recover: true, copyForward: true, flushedOffset: isFailed ? flushedEnd : -1 })
      expect(kit.log.segments).toHaveLength(2)
      append(9)
      checkpoint()
      kit.disk.powerCut(seeded(cut))
      kit.open({ recover: true })
      for (let mark = 0; mark < 10; mark++) {
        expect(kit.log.findByTime(1_000 + mark * 10)?.baseOffset, `cut ${cut}`).toBe(mark)
      }
    }
  }
})

test('good batches behind a bad one, once cut off, do not come back', () => {
  for (let cut = 1; cut <= 200; cut++) {
    const kit = new LogHarness().open()
    const lost = Array.from({ length: 6 }, (_, mark) => makeBatch({ mark, valueBytes: 700 }))
    for (const batch of lost) kit.append(batch)
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    bytes.fill(0, 100, 200)
    kit.disk.kill()
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(0)
    const batches = lost.map((_, mark) => makeBatch({ mark: 50 + mark, valueBytes: 700 }))
    for (const batch of batches) kit.append(batch)
    kit.disk.powerCut(seeded(cut))
    kit.open({ recover: true })
    expectSame(kit.readAll(), batches.slice(0, kit.log.offsets.logEnd))
  }
})

test('a log whose first segment went with the power starts where the rest does', () => {
  const kit = new LogHarness({ flushPolicy: 'os', segmentBytesMax: 400 }).open()
  for (let mark = 0; mark < 8; mark++) kit.append(makeBatch({ mark }))
  const [first, second] = kit.log.segments
  kit.disk.kill()
  kit.disk.unlink(first.path)
  kit.config = { ...kit.config, flushPolicy: 'group-commit' }
  kit.open({ recover: true, copyForward: false })
  expect(kit.log.offsets).toMatchObject({ logStart: second.baseOffset, logEnd: 8 })
  kit.settle()
  expect(kit.log.offsets.highWatermark).toBe(8)
})

test('a look-up by time is right whatever bit of the offset index has flipped', () => {
  const kit = new LogHarness({ segmentBytesMax: 1_500, indexIntervalBytes: 64 }).open()
  for (let mark = 0; mark < 30; mark++) {
    kit.append(makeBatch({ mark, timestampMs: 1_000 + mark * 10 }))
  }
  expect(kit.closeClean()).toBe(true)
  const path = kit.path(0, 'index')
  const whole = kit.disk.bytesOf(path)
  expect(whole.length).toBeGreaterThan(64)
  for (let bit = 0; bit < whole.length * 8; bit += 3) {
    const rotten = Buffer.from(whole)
    rotten[bit >> 3] ^= 1 << (bit & 7)
    kit.disk.setBytes(path, rotten)
    kit.open()
    for (let mark = 0; mark < 30; mark += 3) {
      expect(kit.log.findByTime(1_000 + mark * 10)?.baseOffset, `bit ${bit}`).toBe(mark)
    }
    expect(kit.closeClean()).toBe(true)
  }
})
