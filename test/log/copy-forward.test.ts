/**
 * What no checkpoint proves is copied into new files before it is served (RELIABILITY 2.4, P6, P11; rows A8, A20, A22):
 * at the start of a process and to bring back a log whose sync failed, not when only the owner thread died.
 */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { type Operation, seeded } from '../support/fault-disk.ts'
import { directory, expectSame, LogHarness, makeBatch } from './log-kit.ts'

/** Ten batches of two records flushed and covered by a checkpoint, five more that no sync covers. */
function halfProven(config = {}): { kit: LogHarness; batches: Buffer[] } {
  const kit = new LogHarness({ indexIntervalBytes: 200, ...config }).open()
  const batches = Array.from({ length: 15 }, (_, mark) => makeBatch({ records: 2, mark }))
  for (const batch of batches.slice(0, 10)) kit.append(batch)
  kit.closeClean()
  kit.open()
  for (const batch of batches.slice(10)) kit.append(batch)
  return { kit, batches }
}

function watched(kit: LogHarness): Operation[] {
  const operations: Operation[] = []
  kit.disk.onOperation = operation => {
    operations.push(operation)
    return null
  }
  return operations
}

const ofKind = (operations: readonly Operation[], ...kinds: string[]): string[] =>
  operations.filter(({ kind }) => kinds.includes(kind)).map(({ path }) => path)

describe('at the start of a process', () => {
  test('unproven bytes become a segment of their own, and the old file is cut', () => {
    const { kit, batches } = halfProven()
    kit.disk.kill()
    kit.open({ recover: true })
    expect(kit.log.segments.map(({ baseOffset }) => baseOffset)).toEqual([0, 20])
    const cut = Buffer.concat(batches.slice(0, 10))
    expect(kit.disk.bytesOf(kit.path(0, 'log')).equals(cut)).toBe(true)
    expectSame(kit.readAll(), batches)
    expect(kit.names().filter(name => /cleaned|swap|tmp|torn|suspect/.test(name))).toEqual([])
    kit.disk.powerCut(seeded(1))
    kit.open({ recover: true })
    expectSame(kit.readAll(), batches)
  })

  test('a log with nothing unproven costs no sync and no write to its records', () => {
    const { kit, batches } = halfProven()
    kit.closeClean()
    const operations = watched(kit)
    kit.open({ recover: true })
    expect(ofKind(operations, 'sync', 'syncDirectory')).toEqual([])
    expect(ofKind(operations, 'write', 'create').filter(path => path.endsWith('.log'))).toEqual([])
    expect(operations.length).toBeLessThan(40)
    expect(kit.disk.syncsInFlight).toBe(0)
    kit.disk.onOperation = () => null
    expectSame(kit.readAll(), batches)
  })

  test('an empty log costs no sync either, and its name is synced with the first records', () => {
    const kit = new LogHarness().open()
    kit.disk.kill()
    const operations = watched(kit)
    kit.open({ recover: true })
    expect(ofKind(operations, 'sync', 'syncDirectory')).toEqual([])
    kit.append(makeBatch())
    kit.settle()
    const { highWatermark } = kit.log.offsets
    expect(highWatermark).toBe(1)
    kit.disk.powerCut(seeded(4))
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(1)
  })

  test.each([
    ['create', 'ENOSPC'],
    ['write', 'ENOSPC'],
    ['sync', 'EIO'],
    ['rename', 'EIO'],
    ['syncDirectory', 'EIO'],
  ])(
    'a copy whose %s fails leaves the log closed, and the next try finds all of it',
    (kind, code) => {
      const { kit, batches } = halfProven()
      kit.disk.kill()
      kit.disk.onOperation = operation => {
        const isOfCopy = operation.path.endsWith('.cleaned') || operation.path === directory
        return operation.kind === kind && isOfCopy ? { code } : null
      }
      expect(() => kit.open({ recover: true })).toThrow(code)
      kit.disk.onOperation = () => null
      kit.open({ recover: true })
      expectSame(kit.readAll(), batches)
      expect(kit.names().filter(name => name.endsWith('.cleaned'))).toEqual([])
    },
  )

  test('under `os` nothing is promised, nothing copied: what was there is served', () => {
    const { kit, batches } = halfProven({ flushPolicy: 'os' })
    kit.disk.kill()
    const operations = watched(kit)
    kit.open({ recover: true })
    expect(ofKind(operations, 'sync', 'syncDirectory')).toEqual([])
    expect(kit.log.offsets).toMatchObject({ highWatermark: 30, logEnd: 30, recoveryPoint: 20 })
    kit.disk.onOperation = () => null
    expectSame(kit.readAll(), batches)
  })

  test('of a large segment only the end is read, and its index goes on', () => {
    const kit = new LogHarness().open()
    const batches = Array.from({ length: 400 }, (_, mark) => makeBatch({ valueBytes: 9_000, mark }))
    for (const batch of batches.slice(0, 390)) kit.append(batch)
    kit.closeClean()
    kit.open()
    for (const batch of batches.slice(390)) kit.append(batch)
    kit.disk.kill()
    let logBytes = 0
    kit.disk.onOperation = ({ kind, path, bytes }) => {
      if (kind === 'read' && path === kit.path(0, 'log')) logBytes += bytes
      return null
    }
    kit.open({ recover: true })
    expect(logBytes).toBeLessThan(700_000)
    const unproven = Buffer.concat(batches.slice(390)).length
    expect(kit.log.loaded).toMatchObject({ recoveredBytes: unproven, truncatedBytes: 0 })
    kit.disk.onOperation = () => null
    expectSame(kit.readAll(), batches)
    for (const offset of [1, 200, 389, 390, 399]) {
      expectSame([kit.read(offset, 9_500).bytes], [batches[offset]])
    }
    const [old] = kit.log.segments
    expect(old.indexes.offsets.count).toBeGreaterThan(300)
  })

  test('nor of one that was never closed: a checkpoint saves what there is of its index', () => {
    const kit = new LogHarness().open()
    const batches = Array.from({ length: 30 }, (_, mark) =>
      makeBatch({ valueBytes: 900_000, mark }),
    )
    for (const batch of batches) {
      kit.append(batch)
      kit.settle()
    }
    kit.disk.kill()
    let logBytes = 0
    kit.disk.onOperation = ({ kind, path, bytes }) => {
      if (kind === 'read' && path === kit.path(0, 'log')) logBytes += bytes
      return null
    }
    kit.open({ recover: true })
    // The last checkpoint covers sixteen million bytes and more; the rest is read, and copied.
    expect(logBytes).toBeLessThan(28_000_000)
    kit.disk.onOperation = () => null
    for (const offset of [0, 10, 29]) {
      expectSame([kit.read(offset, 1_000_000).bytes], [batches[offset]])
    }
  })
})

describe('when only the owner thread died', () => {
  test('nothing is copied or synced to open; the high watermark is the flushed end, and moves on', () => {
    for (const config of [{}, { segmentBytesMax: 500 }]) {
      const { kit, batches } = halfProven(config)
      const { recoveryPoint: flushedOffset } = kit.log.offsets
      expect(flushedOffset).toBe(20)
      kit.disk.kill()
      const files = kit.names().filter(name => name.endsWith('.log'))
      const bytesOf = () => files.map(name => kit.disk.bytesOf(`${directory}/${name}`))
      const before = bytesOf()
      const operations = watched(kit)
      kit.open({ recover: true, copyForward: false, flushedOffset })
      expect(bytesOf()).toEqual(before)
      expect(ofKind(operations, 'create').filter(path => path.endsWith('.log'))).toEqual([])
      expect(ofKind(operations, 'sync', 'syncDirectory')).toEqual([])
      expect(kit.log.offsets).toMatchObject({ highWatermark: 20, logEnd: 30 })
      const result = newReadResult()
      kit.log.read(20, 10_000, Buffer.alloc(10_000), result)
      expect(result).toMatchObject({ error: Errors.NONE, length: 0 })
      expectSame(kit.readAll(), batches.slice(0, 10))
      kit.disk.onOperation = () => null
      kit.settle()
      expect(kit.log.offsets).toMatchObject({ highWatermark: 30, logEnd: 30 })
      kit.disk.powerCut(seeded(7))
      kit.open({ recover: true })
      expectSame(kit.readAll(), batches)
    }
  })

  test('the flushed end stands, whatever became of the file', () => {
    const { kit } = halfProven()
    kit.settle()
    kit.disk.kill()
    kit.disk.setBytes(kit.path(0, 'log'), Buffer.alloc(0))
    kit.open({ recover: true, copyForward: false, flushedOffset: 30 })
    expect(kit.log.offsets).toMatchObject({ highWatermark: 30, logEnd: 30 })
    const [{ baseOffset }] = kit.append(makeBatch())
    expect(baseOffset).toBe(30)
  })
})

describe('a log whose sync failed is brought back in the same process', () => {
  /** The disk lies from the failure on: what the sync should have written is clean in the cache, not on the platter. */
  function failedAt(failing: number, config = {}): { kit: LogHarness; batches: Buffer[] } {
    const kit = new LogHarness({ indexIntervalBytes: 200, ...config })
    kit.open()
    let syncs = 0
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'sync' && path.endsWith('.log') && ++syncs === failing ? { code: 'EIO' } : null
    const batches: Buffer[] = []
    for (let mark = 0; mark < 30 && kit.log.state === 'online'; mark++) {
      const batch = makeBatch({ records: 2, mark })
      const result = kit.stage(batch)
      if (result.error === Errors.NONE && kit.log.commit() === Errors.NONE) batches.push(batch)
      if (mark % 4 === 3) kit.settle()
    }
    kit.settle()
    expect(kit.log.state).toBe('offline')
    return { kit, batches }
  }

  test.each([
    ['one segment', {}],
    ['segments of two batches', { segmentBytesMax: 300 }],
    ['the paper’s policy', { flushPolicy: 'interval', flushMessages: 6 } as const],
  ])('%s: what is readable survives, no file is synced again', (_, config) => {
    for (let failing = 1; failing <= 6; failing++) {
      const { kit, batches } = failedAt(failing, config)
      const { recoveryPoint: flushedOffset } = kit.log.offsets
      const poisoned = new Set(
        kit.log.segments.filter(one => one.syncedBytes < one.sizeBytes).map(({ path }) => path),
      )
      const failed = kit.log
      const inodes = new Map([...poisoned].map(path => [path, kit.disk.node(path)]))
      const operations = watched(kit)
      kit.open({ recover: true, copyForward: true, flushedOffset })
      failed.close({ clean: false })
      expect(kit.log.offsets.logEnd).toBe(batches.length * 2)
      expect(kit.log.offsets.highWatermark).toBe(kit.log.offsets.logEnd)
      expectSame(kit.readAll(), batches)
      for (let mark = 50; mark < 53; mark++) {
        const more = makeBatch({ records: 2, mark })
        kit.append(more)
        batches.push(more)
        kit.settle()
      }
      for (const path of ofKind(operations, 'sync')) {
        const isOld = kit.disk.exists(path) && kit.disk.node(path) === inodes.get(path)
        expect(isOld, `${path} after failure ${failing}`).toBe(false)
      }
      kit.disk.powerCut(seeded(failing))
      kit.open({ recover: true })
      expectSame(kit.readAll(), batches)
    }
  })

  test('if that fails too it stays closed, and a later try works', () => {
    const { kit, batches } = failedAt(2)
    const { recoveryPoint: flushedOffset } = kit.log.offsets
    const options = { recover: true, copyForward: true, flushedOffset }
    kit.disk.onOperation = ({ kind }) => (kind === 'sync' ? { code: 'EIO' } : null)
    for (let attempt = 0; attempt < 3; attempt++) expect(() => kit.open(options)).toThrow('EIO')
    kit.disk.onOperation = () => null
    kit.open(options)
    expectSame(kit.readAll(), batches)
    kit.disk.powerCut(seeded(2))
    kit.open({ recover: true })
    expectSame(kit.readAll(), batches)
  })

  test('with nothing unproven the log goes on in a new file', () => {
    const kit = new LogHarness().open()
    const batch = makeBatch()
    kit.append(batch)
    kit.settle()
    kit.log.roundFailed(new Error('the directory is not to be trusted'))
    kit.open({ recover: true, copyForward: true, flushedOffset: 1 })
    expect(kit.log.active.baseOffset).toBe(1)
    const more = makeBatch({ mark: 2 })
    kit.append(more)
    const operations = watched(kit)
    kit.settle()
    expect(ofKind(operations, 'sync')).toEqual([kit.path(1, 'log')])
    kit.disk.onOperation = () => null
    expectSame(kit.readAll(), [batch, more])
  })
})

describe('two segments that overlap', () => {
  test('the cut of the old file was lost: the new one counts', () => {
    for (const recover of [false, true]) {
      const { kit, batches } = halfProven()
      kit.disk.kill()
      const before = kit.disk.bytesOf(kit.path(0, 'log'))
      kit.open({ recover: true })
      const more = makeBatch({ mark: 99 })
      kit.append(more)
      if (recover) kit.settle()
      else kit.closeClean()
      kit.disk.kill()
      kit.disk.setBytes(kit.path(0, 'log'), before)
      for (const name of kit.names()) {
        // With the checkpoints gone everything is looked at again.
        if (recover && name.endsWith('.window')) kit.disk.unlink(`${directory}/${name}`)
      }
      kit.open({ recover })
      expectSame(kit.readAll(), [...batches, more])
      expect(kit.names().filter(name => /suspect|torn/.test(name))).toEqual([])
      expect(kit.log.findByTime(0, 21)?.baseOffset).toBe(20)
    }
  })

  test('what the old file holds beyond is not found by its time', () => {
    const kit = new LogHarness().open()
    for (const timestampMs of [9_000, 1_000]) kit.append(makeBatch({ timestampMs }))
    kit.closeClean()
    kit.open()
    kit.append(makeBatch(), makeBatch({ timestampMs: 9_500 }))
    kit.disk.kill()
    const before = kit.disk.bytesOf(kit.path(0, 'log'))
    before[before.length - 1] ^= 1
    kit.disk.setBytes(kit.path(0, 'log'), before)
    kit.open({ recover: true })
    kit.append(makeBatch())
    kit.closeClean()
    kit.disk.setBytes(kit.path(0, 'log'), before)
    kit.open()
    expect(kit.log.offsets.logEnd).toBe(4)
    expect(kit.log.findByTime(9_000, 0)?.baseOffset).toBe(0)
    expect(kit.log.findByTime(9_000, 1)).toBe(null)
    expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(0)
  })

  test('the unlink of a segment that was never used was lost: the old one goes on', () => {
    for (const left of [Buffer.alloc(0), makeBatch({ records: 2, mark: 7 }), Buffer.alloc(90, 1)]) {
      const { kit, batches } = halfProven()
      kit.settle()
      kit.disk.kill()
      for (const name of kit.names()) {
        if (name.endsWith('.window')) kit.disk.unlink(`${directory}/${name}`)
      }
      kit.disk.setBytes(kit.path(12, 'log'), left)
      kit.open({ recover: true })
      expectSame(kit.readAll(), batches)
    }
  })
})
