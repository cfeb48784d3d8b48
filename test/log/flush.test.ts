import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { directory, expectSame, LogHarness, makeBatch } from './log-kit.ts'

/** Paths of the syncs that finish, as they finish. */
function recordSyncs(kit: LogHarness): string[] {
  const synced: string[] = []
  kit.disk.onOperation = ({ kind, path }) => {
    // File names from the last two digits on.
    if (kind === 'sync') synced.push(path.slice(path.lastIndexOf('/') + 19))
    if (kind === 'syncDirectory') synced.push(path)
    return null
  }
  return synced
}

describe('group-commit', () => {
  test('the high watermark follows the flush, not the append', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch({ records: 3 }))
    expect(kit.log.offsets).toMatchObject({ highWatermark: 0, logEnd: 3, recoveryPoint: 0 })
    kit.settle()
    expect(kit.log.offsets).toMatchObject({ highWatermark: 3, logEnd: 3, recoveryPoint: 3 })
  })

  test('a flush proves what was appended when it started, and the next starts at once', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    kit.settle()
    kit.append(makeBatch())
    kit.append(makeBatch())
    kit.append(makeBatch())
    expect(kit.disk.syncsInFlight).toBe(1)
    kit.disk.completeSyncs(1)
    expect(kit.log.offsets.highWatermark).toBe(2)
    expect(kit.disk.syncsInFlight).toBe(1)
    kit.disk.completeSyncs(1)
    expect(kit.log.offsets.highWatermark).toBe(4)
    expect(kit.disk.syncsInFlight).toBe(0)
  })

  test('one sync per file is in flight however many commits come', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    kit.settle()
    kit.disk.syncsInFlightMax = 0
    for (let mark = 0; mark < 20; mark++) kit.append(makeBatch({ mark }))
    kit.settle()
    expect(kit.disk.syncsInFlightMax).toBe(1)
  })

  test('nothing is proven before the new file and its directories are synced too', () => {
    const kit = new LogHarness().open()
    const synced = recordSyncs(kit)
    kit.append(makeBatch())
    for (const done of [1, 2]) {
      kit.disk.completeSyncs(1)
      expect(synced.length).toBe(done)
      expect(kit.log.offsets.highWatermark).toBe(0)
    }
    kit.disk.completeSyncs(1)
    expect(kit.log.offsets.highWatermark).toBe(1)
    expect(synced.sort()).toEqual(['/data', directory, '00.log'].sort())
  })

  test('after a roll both segments, the old indexes and the directory are synced before the offsets move', () => {
    const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
    kit.append(makeBatch({ valueBytes: 400 }))
    kit.settle()
    const synced = recordSyncs(kit)
    kit.append(makeBatch({ valueBytes: 400 }), makeBatch({ valueBytes: 400 }))
    expect(kit.log.segments.length).toBe(2)
    kit.disk.completeSyncs(4)
    expect(kit.log.offsets.highWatermark).toBe(1)
    kit.disk.completeSyncs(1)
    expect(kit.log.offsets.highWatermark).toBe(3)
    const sealed = ['00.log', '00.index', '00.timeindex']
    expect(synced.sort()).toEqual([directory, ...sealed, '02.log'].sort())
  })

  test('a segment that rolls while its sync is in flight is synced again', () => {
    const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
    kit.append(makeBatch({ valueBytes: 300 }))
    // In flight now; more goes into the same segment, then it rolls.
    kit.append(makeBatch({ valueBytes: 300 }), makeBatch({ valueBytes: 600 }))
    kit.disk.completeSyncs(3)
    expect(kit.log.offsets.highWatermark).toBe(1)
    const synced = recordSyncs(kit)
    kit.settle()
    expect(kit.log.offsets.highWatermark).toBe(3)
    expect(synced.filter(path => path === '00.log').length).toBe(1)
    // Proven by what a power cut leaves.
    kit.disk.powerCut(() => 0.9)
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(3)
  })

  test('every advance is told: after the commit and after the flush', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    expect(kit.advances).toBe(1)
    kit.settle()
    expect(kit.advances).toBe(2)
  })
})

describe('interval', () => {
  test('flushes once enough records wait', () => {
    const kit = new LogHarness({ flushPolicy: 'interval', flushMessages: 5 }).open()
    kit.append(makeBatch({ records: 4 }))
    expect(kit.disk.syncsInFlight).toBe(0)
    kit.append(makeBatch({ records: 1 }))
    expect(kit.disk.syncsInFlight).toBeGreaterThan(0)
    kit.settle()
    expect(kit.log.offsets.highWatermark).toBe(5)
  })

  test('flushes once the first waiting record is old enough', () => {
    const kit = new LogHarness({ flushPolicy: 'interval', flushMs: 1_000 }).open()
    kit.append(makeBatch())
    kit.clock.advance(600)
    kit.append(makeBatch())
    kit.clock.advance(399)
    expect(kit.disk.syncsInFlight).toBe(0)
    kit.clock.advance(1)
    expect(kit.disk.syncsInFlight).toBeGreaterThan(0)
    kit.settle()
    expect(kit.log.offsets.highWatermark).toBe(2)
    // Nothing waits: nothing is flushed.
    kit.clock.advance(4_000)
    expect(kit.disk.syncsInFlight).toBe(0)
  })

  test('flushes after a roll, so that sealed segments do not pile up', () => {
    const kit = new LogHarness({ flushPolicy: 'interval', segmentBytesMax: 500 }).open()
    kit.append(makeBatch({ valueBytes: 300 }))
    expect(kit.disk.syncsInFlight).toBe(0)
    kit.append(makeBatch({ valueBytes: 300 }))
    kit.settle()
    expect(kit.log.offsets.highWatermark).toBe(2)
  })

  test('never by time when flush.ms is not set', () => {
    const kit = new LogHarness({ flushPolicy: 'interval' }).open()
    kit.append(makeBatch())
    kit.clock.advance(10 ** 12)
    expect(kit.disk.syncsInFlight).toBe(0)
    expect(kit.log.offsets.highWatermark).toBe(0)
  })
})

describe('os', () => {
  test('everything appended is readable, nothing is synced, until a roll', () => {
    const kit = new LogHarness({ flushPolicy: 'os', segmentBytesMax: 1_000 }).open()
    kit.append(makeBatch({ valueBytes: 400 }), makeBatch({ valueBytes: 400 }))
    expect(kit.disk.syncsInFlight).toBe(0)
    expect(kit.log.offsets).toMatchObject({ highWatermark: 2, logEnd: 2, recoveryPoint: 0 })
    expect(kit.readAll().length).toBe(2)
    kit.append(makeBatch({ valueBytes: 400 }))
    expect(kit.disk.syncsInFlight).toBeGreaterThan(0)
    kit.settle()
    expect(kit.log.offsets).toMatchObject({ highWatermark: 3, recoveryPoint: 3 })
    kit.append(makeBatch())
    expect(kit.disk.syncsInFlight).toBe(0)
  })

  test('a flush that ends late takes nothing back', () => {
    const kit = new LogHarness({ flushPolicy: 'os', segmentBytesMax: 1_000 }).open()
    const batches = [400, 400, 400].map((valueBytes, mark) => makeBatch({ valueBytes, mark }))
    kit.append(...batches)
    expect(kit.disk.syncsInFlight).toBeGreaterThan(0)
    const last = makeBatch({ mark: 9 })
    kit.append(last)
    kit.settle()
    expectSame(kit.readAll(), [...batches, last])
  })

  test('what was readable stays readable when the policy becomes stricter', () => {
    const kit = new LogHarness({ flushPolicy: 'os' }).open()
    kit.append(makeBatch({ mark: 1 }), makeBatch({ mark: 2 }))
    kit.log.applyConfig({ ...kit.config, flushPolicy: 'group-commit' })
    expect(kit.log.offsets.highWatermark).toBe(2)
    kit.append(makeBatch({ mark: 3 }))
    expect(kit.readAll().length).toBe(2)
    // The flush that the change started covers two records, the next one the third.
    kit.disk.completeSyncs(3)
    expect(kit.log.offsets).toMatchObject({ highWatermark: 2, recoveryPoint: 2 })
    expect(kit.readAll().length).toBe(2)
    kit.settle()
    expect(kit.readAll().length).toBe(3)
  })

  test('a laxer policy makes everything readable at once', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    kit.log.applyConfig({ ...kit.config, flushPolicy: 'os' })
    expect(kit.readAll().length).toBe(1)
  })
})

describe('a sync that fails', () => {
  test.each([
    ['of the segment', 'sync'],
    ['of the directory', 'syncDirectory'],
  ])('%s takes the log offline for good; reads below the flushed end go on', (_, failing) => {
    const kit = new LogHarness({ segmentBytesMax: 500 }).open()
    const first = makeBatch({ valueBytes: 300, mark: 1 })
    kit.append(first)
    kit.settle()
    kit.append(makeBatch({ valueBytes: 300, mark: 2 }))
    kit.disk.onOperation = ({ kind }) => (kind === failing ? { code: 'EIO' } : null)
    kit.disk.completeSyncs()
    expect(kit.log.state).toBe('offline')
    expect(kit.failures.map(error => (error as NodeJS.ErrnoException).code)).toEqual(['EIO'])
    expect(kit.log.offsets).toMatchObject({ highWatermark: 1, logEnd: 2 })
    expectSame(kit.readAll(), [first])
    // Never synced, appended or advanced again, although the disk works again.
    kit.disk.onOperation = () => null
    const before = kit.disk.operations
    expect(kit.stage(makeBatch()).error).toBe(Errors.KAFKA_STORAGE_ERROR)
    kit.log.flush()
    kit.clock.advance(60_000)
    expect(kit.log.flushBlocking()).toBe(false)
    expect(kit.log.close({ clean: true })).toBe(false)
    expect(kit.disk.operations).toBe(before)
    expect(kit.failures.length).toBe(1)
  })

  test('a batch staged when the sync failed is refused by commit and leaves the file alone', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    expect(kit.stage(makeBatch()).error).toBe(Errors.NONE)
    kit.disk.onOperation = ({ kind }) => (kind === 'sync' ? { code: 'EIO' } : null)
    kit.disk.completeSyncs()
    const before = kit.disk.operations
    expect(kit.log.commit()).toBe(Errors.KAFKA_STORAGE_ERROR)
    expect(kit.disk.operations).toBe(before)
    expect(kit.log.offsets.logEnd).toBe(1)
  })
})

describe('flushBlocking and settled', () => {
  test('proves everything, whatever the policy', () => {
    const kit = new LogHarness({ flushPolicy: 'interval' }).open()
    kit.append(makeBatch())
    expect(kit.log.flushBlocking()).toBe(true)
    expect(kit.log.offsets.highWatermark).toBe(1)
    kit.append(makeBatch())
    expect(kit.log.offsets).toMatchObject({ highWatermark: 1, logEnd: 2 })
  })

  test('proves nothing while a sync is in flight, whose error it could swallow', async () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    expect(kit.log.flushBlocking()).toBe(false)
    let isSettled = false
    const settled = kit.log.settled().then(() => {
      isSettled = true
    })
    kit.append(makeBatch())
    kit.disk.completeSyncs(3)
    await Promise.resolve()
    expect(isSettled).toBe(false)
    kit.disk.completeSyncs(1)
    await settled
    expect(kit.log.offsets.highWatermark).toBe(2)
    expect(kit.log.flushBlocking()).toBe(true)
  })
})
