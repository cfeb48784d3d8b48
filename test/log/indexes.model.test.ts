import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { OffsetIndex } from '../../workers/log/offset-index.ts'
import { TimeIndex } from '../../workers/log/time-index.ts'
import { FaultDisk } from '../support/fault-disk.ts'

const base = 1_000

function diskWithDirectory(): FaultDisk {
  const disk = new FaultDisk()
  disk.mkdir('/d')
  return disk
}

/** Rising numbers, as many as asked, with random steps of at least 1. */
const rising = (lengthMax: number) =>
  fc
    .array(fc.integer({ min: 1, max: 50 }), { maxLength: lengthMax })
    .map(steps => steps.map((_, index) => steps.slice(0, index + 1).reduce((a, b) => a + b, 0)))

describe('offset index', () => {
  test('the file holds (relative last offset, position) pairs, big-endian', () => {
    const disk = diskWithDirectory()
    const index = new OffsetIndex(disk, '/d/i', base)
    index.append(base + 0x01020304, 0x11121314)
    index.append(base + 0x01020305, 0x11121399)
    index.save()
    expect(disk.bytesOf('/d/i').toString('hex')).toBe('01020304111213140102030511121399')
  })

  test('look-ups agree with a plain list, in memory, on disk and after loading', () => {
    fc.assert(
      fc.property(rising(40), fc.integer({ min: 0, max: 40 }), (keys, saveAfter) => {
        const disk = diskWithDirectory()
        let index = new OffsetIndex(disk, '/d/i', base)
        const model = keys.map(key => ({ offset: base + key, position: key * 10 }))
        for (const [at, { offset, position }] of model.entries()) {
          if (at === saveAfter) index.save()
          index.append(offset, position)
        }
        for (const reload of [false, true]) {
          if (reload) {
            index.save()
            index = new OffsetIndex(disk, '/d/i', base)
            expect(index.load(1_000_000)).toBe(true)
          }
          const end = (model.at(-1)?.offset ?? base) + 3
          for (let offset = base; offset < end; offset++) {
            const floor = model.findLast(entry => entry.offset <= offset)
            expect(index.positionFor(offset)).toBe(floor?.position ?? 0)
            const behind = model.find(entry => entry.offset >= offset)
            expect(index.positionBehind(offset)).toBe(behind?.position ?? -1)
          }
          for (const { position } of model) {
            const below = model.findLast(entry => entry.position < position)
            expect(index.lastOffsetBelow(position)).toBe(below?.offset ?? -1)
          }
          expect(index.lastPosition()).toBe(model.at(-1)?.position ?? 0)
        }
      }),
      { numRuns: 200 },
    )
  })

  test('thousands of entries keep at most a page in memory and are found on disk', () => {
    const disk = diskWithDirectory()
    const index = new OffsetIndex(disk, '/d/i', base)
    for (let key = 1; key <= 5_000; key++) index.append(base + key * 3, key * 7)
    expect(disk.bytesOf('/d/i').length).toBe(4_608 * 8)
    for (let key = 1; key <= 5_000; key += 13) {
      expect(index.positionFor(base + key * 3)).toBe(key * 7)
      expect(index.positionFor(base + key * 3 + 2)).toBe(key * 7)
      expect(index.positionFor(base + key * 3 - 1)).toBe((key - 1) * 7)
    }
  })

  test('a look-up in a large index reads a handful of pages', () => {
    const disk = diskWithDirectory()
    const index = new OffsetIndex(disk, '/d/i', base)
    for (let key = 1; key <= 100_000; key++) index.append(base + key, key)
    index.save()
    let reads = 0
    disk.onOperation = ({ kind }) => {
      if (kind === 'read') reads++
      return null
    }
    expect(index.positionFor(base + 70_123)).toBe(70_123)
    expect(reads).toBeLessThan(12)
  })

  test('entries that cannot be written are dropped, the rest stays true', () => {
    const disk = diskWithDirectory()
    const index = new OffsetIndex(disk, '/d/i', base)
    for (let key = 1; key <= 512; key++) index.append(base + key, key)
    disk.onOperation = ({ kind }) => (kind === 'create' ? { code: 'ENOSPC' } : null)
    index.append(base + 513, 513)
    disk.onOperation = () => null
    index.append(base + 514, 514)
    index.save()
    expect(index.positionFor(base + 600)).toBe(514)
    expect(index.positionFor(base + 512)).toBe(0)
    expect(disk.bytesOf('/d/i').length).toBe(2 * 8)
  })

  test.each([
    ['a size that is no whole number of entries', Buffer.alloc(12)],
    ['a last position beyond the log file', Buffer.from('0000000100002710', 'hex')],
    ['a negative position', Buffer.from('00000001ffffffff', 'hex')],
    ['a negative offset', Buffer.from('ffffffff00000001', 'hex')],
  ])('is refused on load: %s', (_, bytes) => {
    const disk = diskWithDirectory()
    disk.setBytes('/d/i', bytes)
    const index = new OffsetIndex(disk, '/d/i', base)
    expect(index.load(10_000)).toBe(false)
    expect(index.count).toBe(0)
  })
})

describe('time index', () => {
  test('the file holds (timestamp, relative offset) pairs, big-endian; times only rise', () => {
    const disk = diskWithDirectory()
    const index = new TimeIndex(disk, '/d/t', base)
    index.maybeAppend(0x0000018bcfe56800, base + 5)
    index.maybeAppend(0x0000018bcfe56800, base + 6)
    index.maybeAppend(0x0000018bcfe567ff, base + 7)
    index.maybeAppend(0x0000018bcfe56801, base + 8)
    index.save()
    expect(disk.bytesOf('/d/t').toString('hex')).toBe(
      '0000018bcfe56800000000050000018bcfe5680100000008',
    )
  })

  test('look-ups agree with a plain list, before and after loading', () => {
    fc.assert(
      fc.property(rising(30), keys => {
        const disk = diskWithDirectory()
        let index = new TimeIndex(disk, '/d/t', base)
        const model = keys.map((key, at) => ({ timestampMs: key * 2, offset: base + at * 5 }))
        for (const { timestampMs, offset } of model) index.maybeAppend(timestampMs, offset)
        for (const reload of [false, true]) {
          if (reload) {
            index.save()
            index = new TimeIndex(disk, '/d/t', base)
            expect(index.load()).toBe(true)
          }
          for (let timestampMs = 0; timestampMs < 100; timestampMs++) {
            const floor = model.findLast(entry => entry.timestampMs <= timestampMs)
            expect(index.floorByTime(timestampMs)).toBe(floor !== undefined)
            expect(index.foundTimestampMs).toBe(floor?.timestampMs ?? -1)
            expect(index.foundOffset).toBe(floor?.offset ?? -1)
          }
          for (let offset = base; offset < base + 160; offset++) {
            const floor = model.findLast(entry => entry.offset <= offset)
            expect(index.floorByOffset(offset)).toBe(floor !== undefined)
            expect(index.foundOffset).toBe(floor?.offset ?? -1)
          }
        }
      }),
      { numRuns: 100 },
    )
  })

  test('a loaded index goes on where its file ends', () => {
    const disk = diskWithDirectory()
    const first = new TimeIndex(disk, '/d/t', base)
    first.maybeAppend(100, base)
    first.save()
    const second = new TimeIndex(disk, '/d/t', base)
    second.load()
    second.maybeAppend(100, base + 1)
    second.maybeAppend(101, base + 2)
    second.save()
    expect(disk.bytesOf('/d/t').length).toBe(24)
    expect(second.floorByTime(101)).toBe(true)
    expect(second.foundOffset).toBe(base + 2)
  })
})
