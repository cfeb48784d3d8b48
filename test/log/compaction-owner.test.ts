/** When a log is compacted, and what becomes of a pass whose log changes, closes or fails meanwhile. */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { CompactedLog } from './compacted-log.ts'
import { pairsOf } from './compaction-kit.ts'

function filled(...args: ConstructorParameters<typeof CompactedLog>): CompactedLog {
  const kit = new CompactedLog(...args).open()
  for (let round = 0; round < 20; round++) kit.put(`a=${round} b=${round} c=${'x'.repeat(20)}`)
  kit.idle()
  return kit
}

function sealedCount(kit: CompactedLog): number {
  const active = kit.log.active.baseOffset
  return kit.consume().filter(({ offset }) => offset < active).length
}

describe('a log is compacted', () => {
  test('only where its config says so', async () => {
    const kit = filled({ cleanupCompact: false, cleanupDelete: true })
    await kit.compact()
    expect(kit.passes).toHaveLength(0)
    kit.log.applyConfig({ ...kit.config, cleanupCompact: true })
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
  })

  test('once enough of it is dirty', async () => {
    const kit = filled({ minCleanableRatio: 1 })
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
    expect(kit.looks.ratio).toBe(0)
    const size = kit.log.describe().sizeBytes
    for (let round = 0; round < 40; round++) kit.put(`a=${round} b=${round} c=${'x'.repeat(20)}`)
    kit.idle()
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
    expect(kit.looks.ratio).toBeGreaterThan(0.5)
    expect(kit.looks.ratio).toBeLessThan(1)
    kit.log.applyConfig({ ...kit.config, minCleanableRatio: 0.5 })
    await kit.compact()
    expect(kit.passes).toHaveLength(2)
    expect(kit.log.describe().sizeBytes).toBeLessThan(size * 2)
  })

  test('or once a record has waited for too long', async () => {
    const kit = filled({ minCleanableRatio: 1, maxCompactionLagMs: 3_600_000 })
    await kit.compact()
    for (let round = 0; round < 20; round++) kit.put(`a=${round} b=${round} c=${'x'.repeat(20)}`)
    kit.idle()
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
    kit.clock.advance(3_600_000)
    await kit.compact()
    expect(kit.passes).toHaveLength(2)
  })

  test('not before min.compaction.lag.ms, by the time of append and both clocks', async () => {
    const kit = filled({ minCompactionLagMs: 3_600_000 })
    kit.clock.wall += 7_200_000
    await kit.compact()
    expect(kit.passes).toHaveLength(0)
    kit.clock.wall -= 7_200_000
    kit.clock.advance(3_600_000)
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
  })

  test('only where it is synced', async () => {
    const kit = new CompactedLog({ flushPolicy: 'interval' }).open()
    for (let round = 0; round < 4; round++) kit.put(`a=${round} b=${round} c=${'x'.repeat(20)}`)
    kit.settle()
    for (let round = 0; round < 40; round++) kit.put(`a=${round} b=${round} c=${'x'.repeat(20)}`)
    kit.clock.advance(60_000)
    const { recoveryPoint, logEnd } = kit.log.offsets
    expect(recoveryPoint).toBeLessThan(logEnd)
    const reserved: number[] = []
    kit.afterTask = () => reserved.push(kit.log.reserved!.endOffset)
    await kit.compactor.pass().catch(() => {})
    for (const endOffset of reserved) expect(endOffset).toBeLessThanOrEqual(recoveryPoint)
  })

  test('not while the clock is not believed', async () => {
    const kit = filled()
    kit.isClockTrusted = false
    await kit.compact()
    expect(kit.passes).toHaveLength(0)
  })

  test('up to the very end of what readers see', async () => {
    const kit = filled({ segmentAgeMsMax: 60_000 })
    kit.clock.advance(60_000)
    kit.log.retention.pass(true)
    kit.idle()
    expect(kit.log.active.sizeBytes).toBe(0)
    await kit.compact()
    expect(kit.log.active.baseOffset).toBe(60)
    expect(pairsOf(kit.consume()).map(pair => pair.slice(0, 4))).toEqual(['57:a', '58:b', '59:c'])
  })

  test('in several passes when the map is small', async () => {
    const kit = filled({}, undefined, 32 * 2)
    await kit.compact()
    expect(kit.passes.length).toBeGreaterThan(5)
    expect(sealedCount(kit)).toBe(3)
  })
})

describe('the work of a task is thrown away, and its files,', () => {
  test.each([
    ['closed', (kit: CompactedLog) => kit.logs.splice(3, 1)],
    ['configured', (kit: CompactedLog) => kit.log.applyConfig({ ...kit.config })],
  ])('when the log was %s meanwhile', async (_, change) => {
    const kit = filled()
    const before = kit.consume()
    kit.afterTask = () => {
      expect(kit.leftovers().length).toBeGreaterThan(0)
      change(kit)
    }
    await kit.compact()
    expect(kit.passes).toEqual([])
    expect(kit.troubles).toEqual([])
    expect(kit.leftovers()).toEqual([])
    expect(kit.consume()).toEqual(before)
    expect(kit.log.reserved).toBeNull()
  })

  test('when it was deleted', async () => {
    const kit = filled()
    kit.afterTask = () => {
      kit.logs.length = 0
      void kit.log.delete()
    }
    await kit.compact()
    expect(kit.passes).toEqual([])
    expect(kit.disk.exists(kit.log.directory)).toBe(false)
  })

  test('when it was opened anew', async () => {
    const kit = filled()
    const before = kit.consume()
    kit.afterTask = () => {
      kit.log.close({ clean: false })
      kit.open({ recover: true })
    }
    await kit.compact()
    expect(kit.passes).toEqual([])
    expect(kit.leftovers()).toEqual([])
    expect(kit.consume()).toEqual(before)
    kit.afterTask = () => {}
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
  })
})

describe('a pass that fails', () => {
  test('leaves the log as it was, and is tried again ever later', async () => {
    const kit = filled()
    const before = kit.consume()
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'write' && path.endsWith('.cleaned') ? { code: 'ENOSPC' } : null
    const waits: number[] = []
    for (let second = 0; second < 20; second++) {
      const tried = kit.troubles.length
      await kit.compact()
      if (kit.troubles.length > tried) waits.push(second)
      kit.clock.advance(1_000)
    }
    expect(waits).toEqual([0, 1, 3, 7, 15])
    expect(kit.troubles[0].message).toContain('ENOSPC')
    expect(kit.looks.uncleanable).toBe(1)
    expect(kit.leftovers()).toEqual([])
    expect(kit.consume()).toEqual(before)
    expect(kit.log.state).toBe('online')
    kit.disk.onOperation = () => null
    kit.clock.advance(60_000)
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
    await kit.compact()
    expect(kit.looks.uncleanable).toBe(0)
  })

  test('as one over rot does: nothing is built on a bad batch', async () => {
    const kit = filled()
    const path = kit.path(kit.log.segments[1].baseOffset, 'log')
    const bytes = kit.disk.bytesOf(path)
    bytes[bytes.length - 3] ^= 1
    kit.disk.setBytes(path, bytes)
    await kit.compact()
    expect(kit.troubles[0].message).toContain('wrong checksum')
    expect(kit.disk.bytesOf(path)).toEqual(bytes)
  })

  test('because somebody removed what the task wrote leaves the log online', async () => {
    const kit = filled()
    kit.afterTask = () => {
      for (const name of kit.leftovers()) kit.disk.unlink(`${kit.log.directory}/${name}`)
    }
    await kit.compact()
    expect(kit.troubles[0].message).toContain('is gone')
    expect(kit.log.state).toBe('online')
  })

  test('for want of room changes nothing', async () => {
    const kit = filled()
    const names = kit.names()
    kit.disk.free = 10_000
    kit.reserveBytes = 9_900
    await kit.compact()
    expect(kit.troubles[0].message).toContain('more bytes of the disk would have to be free')
    expect(kit.names()).toEqual(names)
  })

  test('is none where only a part of the log has room: it goes on when that is in place', async () => {
    const kit = new CompactedLog().open()
    for (let round = 0; round < 20; round++) kit.put(`k${round}=${'x'.repeat(40)} a=${round}`)
    kit.idle()
    const before = kit.consume()
    const active = kit.log.active.baseOffset
    const used = (): number =>
      kit
        .names()
        .reduce((sum, name) => sum + kit.disk.bytesOf(`${kit.log.directory}/${name}`).length, 0)
    kit.reserveBytes = 10_000
    // A copy of two segments, and what lies beside the records.
    const capacity = used() + kit.reserveBytes + 1_200
    let freeMin = Number.POSITIVE_INFINITY
    Object.defineProperty(kit.disk, 'free', {
      get: () => {
        freeMin = Math.min(freeMin, capacity - used())
        return capacity - used()
      },
    })
    await kit.compact(() => void kit.disk.free)
    expect(kit.troubles).toEqual([])
    expect(kit.passes.length).toBeGreaterThan(1)
    expect(freeMin).toBeGreaterThan(kit.reserveBytes)
    const sealed = before.filter(({ offset }) => offset < active)
    const newest = new Map(sealed.map(record => [record.key, record]))
    expect(kit.consume().filter(({ offset }) => offset < active)).toEqual(
      sealed.filter(record => newest.get(record.key) === record),
    )
    expect(kit.leftovers()).toEqual([])
  })

  test.each(['sync', 'rename', 'unlink'])('in a swap (%s) takes the log offline', async kind => {
    const kit = filled()
    const before = kit.consume()
    let isIn = false
    kit.afterTask = () => {
      isIn = true
    }
    kit.disk.onOperation = operation => {
      const isKind = operation.kind === (kind === 'sync' ? 'syncDirectory' : kind)
      return isIn && isKind && !operation.path.includes('marks') ? { code: 'EIO' } : null
    }
    await kit.compact()
    expect(kit.log.state).toBe('offline')
    expect(kit.failures).toHaveLength(1)
    const newest = new Map(before.map(record => [record.key, record]))
    for (const record of newest.values()) expect(kit.consume()).toContainEqual(record)
    kit.disk.onOperation = () => null
    kit.log.close({ clean: false })
    kit.open({ recover: true })
    for (const record of newest.values()) expect(kit.consume()).toContainEqual(record)
    await kit.compact()
    expect(kit.log.state).toBe('online')
    expect(sealedCount(kit)).toBe(3)
    expect(kit.leftovers()).toEqual([])
  })
})

test('retention takes what compaction has left, and never what it is at', async () => {
  const config = { cleanupDelete: true, retentionMs: 100_000, retentionBytes: 3_000 }
  const kit = filled(config)
  for (let round = 0; round < 60; round++) kit.put(`k${round}=${round} b=${round}`)
  kit.idle()
  expect(kit.log.describe().sizeBytes).toBeGreaterThan(4_000)
  let moved = -1
  kit.afterTask = () => {
    kit.log.retention.pass(true)
    kit.settle()
    moved = kit.log.offsets.logStart
  }
  await kit.compact()
  expect(moved).toBe(0)
  expect(kit.passes).toHaveLength(1)
  expect(sealedCount(kit)).toBeGreaterThan(50)
  kit.clock.advance(80_000)
  for (let round = 0; round < 20; round++) kit.put(`z=${round} b=${round}`)
  kit.idle()
  await kit.compact()
  expect(kit.passes).toHaveLength(2)
  // By age, although the files are new: what counts is when the records came.
  kit.closeClean()
  kit.clock.advance(10_000)
  kit.open()
  const end = kit.log.segments.findLast(segment => segment.modifiedMs < kit.clock.wall - 90_000)
  for (let pass = 0; pass < 40; pass++) {
    kit.log.retention.pass(true)
    kit.settle()
  }
  expect(end).toBeDefined()
  expect(kit.log.segments).not.toContain(end)
  expect(kit.consume().every(({ offset }) => offset >= kit.log.offsets.logStart)).toBe(true)
})

test('records deleted by a client while a task runs stay deleted', async () => {
  const kit = filled({ cleanupDelete: true })
  kit.afterTask = () => {
    kit.log.retention.deleteRecords(30, result => expect(result.error).toBe(Errors.NONE))
    kit.settle()
  }
  await kit.compact()
  expect(kit.log.offsets.logStart).toBe(30)
  expect(kit.consume().every(({ offset }) => offset >= 30)).toBe(true)
  kit.closeClean()
  kit.open()
  expect(kit.log.offsets.logStart).toBe(30)
  expect(sealedCount(kit)).toBe(3)
})
