/** What retention takes away, in which order, and what it never touches (RELIABILITY P6, P13, E1). */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { readMarks } from '../../workers/log/marks.ts'
import { FaultDisk, seeded } from '../support/fault-disk.ts'
import { directory, LogHarness, makeBatch } from './log-kit.ts'
import { bases, deleteRecords, filled, pass, twoEach } from './retention-kit.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const TEN_YEARS = 3_652 * DAY

describe('by size', () => {
  test('log-marks first, then the offsets, then the files, oldest first', () => {
    const kit = filled({}, 9)
    expect(bases(kit)).toEqual([0, 2, 4, 6, 8])
    const events: string[] = []
    kit.disk.onOperation = ({ kind, path }) => {
      if (kind !== 'read')
        events.push(`${kind} ${path.slice(directory.length + 1).replace(/^0+(?=\d)/, '')}`)
      if (kind === 'unlink') expect(kit.log.offsets.logStart).toBe(4)
      return null
    }
    kit.log.applyConfig({ ...kit.config, retentionBytes: 300 })
    pass(kit)
    expect(events.filter(event => !event.startsWith('open'))).toEqual([
      'create log-marks.new',
      'write log-marks.new',
      'sync log-marks.new',
      'rename log-marks.new',
      'syncDirectory ',
      'unlink 0.index',
      'unlink 0.timeindex',
      'unlink 0.log',
      'unlink 2.index',
      'unlink 2.timeindex',
      'unlink 2.log',
      'syncDirectory ',
    ])
    expect(bases(kit)).toEqual([4, 6, 8])
    expect(kit.log.describe()).toMatchObject({ logStartOffset: 4, segmentCount: 3 })
  })

  test('never the active segment', () => {
    const kit = filled({ retentionBytes: 0 }, 9)
    pass(kit)
    expect(bases(kit)).toEqual([8])
    expect(kit.readAll()).toHaveLength(1)
  })

  test('never what is not flushed', () => {
    const kit = new LogHarness({ ...twoEach, retentionBytes: 0 }).open()
    for (let mark = 0; mark < 9; mark++) kit.append(makeBatch({ mark }))
    kit.log.retention.pass(true)
    expect(bases(kit)).toEqual([0, 2, 4, 6, 8])
    expect(readMarks(kit.disk, directory)).toBe('missing')
  })

  test('not while compaction holds the range', () => {
    const kit = filled({ retentionBytes: 0 }, 9)
    kit.log.reserved = { baseOffset: 2, endOffset: 6 }
    pass(kit)
    expect(bases(kit)).toEqual([2, 4, 6, 8])
    kit.log.reserved = null
    pass(kit)
    expect(bases(kit)).toEqual([8])
  })

  test('many segments leave in portions', () => {
    const kit = filled({}, 100)
    kit.log.applyConfig({ ...kit.config, retentionBytes: 0 })
    expect(kit.log.retention.pass(true)).toBe(false)
    kit.settle()
    expect(kit.log.offsets.logStart).toBe(98)
    expect(bases(kit).length).toBeGreaterThan(20)
    for (let sweeps = 0; kit.log.retention.sweep(); sweeps++) {
      expect(sweeps).toBeLessThan(10)
      kit.settle()
    }
    kit.settle()
    expect(bases(kit)).toEqual([98])
  })

  test('applyConfig counts at the next pass, cleanup.policy as well', () => {
    const kit = filled({ retentionBytes: 0 }, 9)
    kit.log.applyConfig({ ...kit.log.config, cleanupDelete: false, cleanupCompact: true })
    pass(kit)
    expect(bases(kit)).toHaveLength(5)
    kit.log.applyConfig({ ...kit.log.config, cleanupDelete: true })
    pass(kit)
    expect(bases(kit)).toEqual([8])
  })
})

/** Keeps back some syncs, as a real disk may. */
class HoldingDisk extends FaultDisk {
  toHold = 0
  readonly #held: (() => void)[] = []

  override startSync(finish: () => void, done: (error: Error | null) => void): void {
    if (this.toHold-- > 0) this.#held.push(() => super.startSync(finish, done))
    else super.startSync(finish, done)
  }

  letGo(): void {
    for (const start of this.#held.splice(0)) start()
  }
}

describe('by age', () => {
  test('counts from the append, whatever clients stamp', () => {
    const kit = new LogHarness({ ...twoEach, retentionMs: HOUR }).open()
    const farMs = kit.clock.wallMs() + TEN_YEARS
    for (const timestampMs of [0, 0, farMs, farMs, 0, 0, farMs]) {
      kit.append(makeBatch({ timestampMs }))
    }
    kit.settle()
    kit.clock.advance(HOUR - 1)
    pass(kit)
    expect(bases(kit)).toEqual([0, 2, 4, 6])
    kit.clock.advance(1)
    for (const left of [[2, 4, 6, 7], [4, 6, 7], [6, 7], [7], [7]]) {
      pass(kit)
      expect(bases(kit)).toEqual(left)
    }
    expect(kit.log.offsets).toMatchObject({ logStart: 7, logEnd: 7 })
  })

  test('a quiet log empties; its offsets go on, also after a restart', () => {
    const kit = filled({ retentionMs: HOUR }, 1)
    kit.clock.advance(HOUR)
    pass(kit)
    pass(kit)
    expect(bases(kit)).toEqual([1])
    expect(kit.closeClean()).toBe(true)
    kit.open()
    expect(kit.log.offsets).toMatchObject({ logStart: 1, highWatermark: 1, logEnd: 1 })
    expect(kit.append(makeBatch())[0].baseOffset).toBe(1)
  })

  test('nothing on an untrusted clock, but size and DeleteRecords go on', () => {
    const kit = filled({ retentionMs: HOUR }, 9)
    kit.clock.advance(DAY)
    pass(kit, false)
    expect(bases(kit)).toHaveLength(5)
    deleteRecords(kit, 2)
    pass(kit, false)
    expect(bases(kit)).toEqual([2, 4, 6, 8])
    kit.log.applyConfig({ ...kit.config, retentionBytes: 0 })
    pass(kit, false)
    expect(bases(kit)).toEqual([8])
  })

  test.each([
    ['the wall clock jumps ahead', TEN_YEARS, 0],
    ['the monotonic clock jumps ahead', 0, TEN_YEARS],
    ['the wall clock falls back', -TEN_YEARS, 2 * HOUR],
  ])('%s: nothing, even when somebody trusts it', (_, wallMs, monotonicMs) => {
    const kit = filled({ retentionMs: HOUR }, 9)
    const reopened = filled({ retentionMs: HOUR }, 9)
    reopened.closeClean()
    reopened.open()
    for (const { clock } of [kit, reopened]) {
      clock.wall += wallMs
      clock.monotonic += monotonicMs
    }
    for (let round = 0; round < 9; round++) {
      pass(kit)
      pass(reopened)
    }
    expect(bases(kit)).toEqual([0, 2, 4, 6, 8])
    expect(bases(reopened)).toEqual([0, 2, 4, 6, 8])
  })

  test('files of an earlier process: by the time they were written', () => {
    const kit = filled({ retentionMs: HOUR }, 4)
    kit.clock.advance(HOUR / 2)
    kit.append(makeBatch(), makeBatch(), makeBatch())
    kit.settle()
    kit.closeClean()
    // While the broker is down.
    kit.clock.advance(HOUR / 2)
    kit.open()
    pass(kit)
    pass(kit)
    pass(kit)
    expect(bases(kit)).toEqual([4, 6])
    kit.clock.advance(HOUR / 2)
    pass(kit)
    pass(kit)
    expect(bases(kit)).toEqual([7])
  })

  test('segment.ms seals without an append, so that compaction gets at the records', () => {
    const kit = filled({ segmentAgeMsMax: HOUR }, 1)
    kit.log.applyConfig({ ...kit.log.config, cleanupDelete: false, cleanupCompact: true })
    kit.clock.advance(HOUR - 1)
    pass(kit)
    expect(bases(kit)).toEqual([0])
    kit.clock.advance(1)
    pass(kit)
    pass(kit)
    expect(bases(kit)).toEqual([0, 1])
    kit.clock.advance(DAY)
    pass(kit)
    expect(bases(kit)).toEqual([0, 1])
    expect(kit.readAll()).toHaveLength(1)
  })

  test('a segment sealed just now stays until the sync it waits for is done', () => {
    const disk = new HoldingDisk()
    const kit = new LogHarness({ retentionMs: HOUR }, disk).open()
    kit.append(makeBatch())
    kit.settle()
    kit.clock.advance(HOUR)
    // Of the old segment, the new one, and the directory.
    disk.toHold = 3
    pass(kit)
    expect(kit.log.offsets.logStart).toBe(1)
    expect(bases(kit)).toEqual([0, 1])
    disk.letGo()
    kit.settle()
    pass(kit)
    expect(bases(kit)).toEqual([1])
  })

  test('a roll without room is left for later, one that fails takes the log offline', () => {
    for (const code of ['ENOSPC', 'EIO']) {
      const kit = filled({ retentionMs: HOUR }, 1)
      kit.clock.advance(HOUR)
      kit.disk.onOperation = ({ kind }) => (kind === 'create' ? { code } : null)
      pass(kit)
      expect(kit.log.state).toBe(code === 'EIO' ? 'offline' : 'online')
      expect(kit.failures).toHaveLength(code === 'EIO' ? 1 : 0)
      expect(bases(kit)).toEqual([0])
      expect(kit.readAll()).toHaveLength(1)
    }
  })
})

describe('at open', () => {
  test('segments that came back are dropped (A7)', () => {
    const kit = filled({ retentionBytes: 0 }, 9)
    const saved = kit.disk.bytesOf(kit.path(2, 'log'))
    pass(kit)
    kit.closeClean()
    kit.disk.setBytes(kit.path(2, 'log'), saved)
    kit.disk.setBytes(kit.path(0, 'index'), Buffer.alloc(8))
    kit.open()
    expect(bases(kit)).toEqual([8])
    expect(kit.disk.exists(kit.path(0, 'index'))).toBe(false)
    expect(kit.log.offsets.logStart).toBe(8)
    expect(kit.readAll()).toHaveLength(1)
  })

  test('without the file, or with a bad one, the log starts at its first segment', () => {
    for (const bytes of [null, Buffer.from('version 1\n')]) {
      const kit = filled({ retentionBytes: 300 }, 9)
      pass(kit)
      deleteRecords(kit, 7)
      kit.settle()
      kit.closeClean()
      const path = `${directory}/log-marks`
      if (bytes === null) kit.disk.unlink(path)
      else kit.disk.setBytes(path, bytes)
      kit.open()
      expect(kit.log.offsets.logStart).toBe(6)
      kit.settle()
      const marks = bytes === null ? 'missing' : { logStart: 6, cleanedEnd: 9 }
      expect(readMarks(kit.disk, directory)).toEqual(marks)
    }
  })

  test('segments missing in front are no rot', () => {
    const kit = filled({ retentionBytes: 300 }, 9)
    pass(kit)
    kit.disk.powerCut(seeded(3))
    kit.open({ recover: true, recoveryPoint: 2 })
    expect(kit.log.loaded).toMatchObject({ truncatedBytes: 0 })
    expect(kit.log.offsets.logStart).toBe(4)
    expect(kit.readAll()).toHaveLength(5)
  })

  test('all segments lost: offsets go on behind the log start', () => {
    const kit = filled({}, 3)
    deleteRecords(kit, 3)
    kit.settle()
    kit.closeClean()
    for (const name of kit.names()) {
      if (/\.(log|window)$/.test(name)) kit.disk.unlink(`${directory}/${name}`)
    }
    kit.open({ recover: true })
    expect(kit.log.offsets).toMatchObject({ logStart: 3, logEnd: 3 })
  })
})

test('what a producer sent last is known after its records are gone', () => {
  const batch = (baseSequence: number): Buffer =>
    makeBatch({ producerId: 7, producerEpoch: 0, baseSequence })
  const kit = new LogHarness({ ...twoEach, retentionBytes: 0 }).open()
  for (let sequence = 0; sequence < 9; sequence++) kit.append(batch(sequence))
  kit.settle()
  pass(kit)
  expect(bases(kit)).toEqual([8])
  kit.disk.kill()
  kit.open({ recover: true })
  expect(kit.append(batch(7))[0]).toMatchObject({ duplicate: true, baseOffset: 7 })
  expect(kit.append(batch(9))[0]).toMatchObject({ duplicate: false, baseOffset: 9 })
})

test('idle producers are forgotten without an append, when both clocks say so', () => {
  const send = (kit: LogHarness, baseSequence: number): number =>
    kit.stage(makeBatch({ producerId: 7, producerEpoch: 0, baseSequence })).error
  const kit = new LogHarness().open()
  expect(send(kit, 0)).toBe(Errors.NONE)
  kit.log.commit()
  kit.settle()
  kit.clock.wall += TEN_YEARS
  kit.log.retention.expireProducers(DAY)
  expect(send(kit, 5)).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
  kit.clock.advance(DAY)
  kit.log.retention.expireProducers(DAY)
  expect(send(kit, 5)).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
  kit.clock.advance(1)
  kit.log.retention.expireProducers(DAY)
  expect(send(kit, 5)).toBe(Errors.NONE)
})

test('a disk that refuses to unlink: told, and done later', () => {
  const kit = filled({ retentionBytes: 0 }, 9)
  kit.disk.onOperation = ({ kind, path }) =>
    kind === 'unlink' && path.endsWith('2.log') ? { code: 'EACCES' } : null
  pass(kit)
  expect(bases(kit)).toEqual([2, 4, 6, 8])
  expect(() => kit.log.retention.pass(true)).toThrow('EACCES')
  expect(kit.log.state).toBe('online')
  kit.disk.onOperation = () => null
  pass(kit)
  expect(bases(kit)).toEqual([8])
})

test('a log that is deleted while its files go and its directory is synced reports nothing any more', () => {
  const kit = filled({}, 9)
  kit.log.applyConfig({ ...kit.config, retentionBytes: 300 })
  kit.log.retention.pass(true)
  // The marks are durable, and the files below go.
  while (kit.log.segments[0].baseOffset === 0) expect(kit.disk.completeSyncs(1)).toBe(1)
  expect(kit.log.retention.isSyncing).toBe(true)
  void kit.log.delete()
  kit.disk.onOperation = ({ kind }) => (kind === 'syncDirectory' ? { code: 'ENOENT' } : null)
  const { advances } = kit
  kit.settle()
  expect(kit.log.retention.isSyncing).toBe(false)
  expect(kit.failures).toEqual([])
  expect(kit.advances).toBe(advances)
})
