/**
 * Recovery goes on with the index files it finds, which nobody has synced: whatever a power cut or a bad disk made of
 * them, reads by offset are right, and look-ups by time after a power cut.
 */
import { expect, test } from 'vitest'
import { temporaryPath } from '../../workers/log/files.ts'
import { seedIndexes } from '../../workers/log/index-seed.ts'
import { SegmentIndexes } from '../../workers/log/segment-indexes.ts'
import { seeded } from '../support/fault-disk.ts'
import { directory, expectSame, LogHarness, makeBatch } from './log-kit.ts'

const SECTOR = 512
const COUNT = 400
const FIRST_MS = 1_000_000

/** One segment of some 400 KiB, a checkpoint near its end, index files of several sectors; killed. */
function lived() {
  const kit = new LogHarness({ indexIntervalBytes: 1_000, segmentBytesMax: 10_000_000 }).open()
  const batches = Array.from({ length: COUNT }, (_, mark) =>
    makeBatch({ mark, valueBytes: 950, timestampMs: FIRST_MS + mark }),
  )
  for (const batch of batches.slice(0, COUNT - 5)) kit.append(batch)
  kit.settle()
  kit.clock.advance(6_000)
  kit.settle()
  for (const batch of batches.slice(COUNT - 5)) kit.append(batch)
  kit.settle()
  kit.disk.kill()
  const paths = [kit.path(0, 'index'), kit.path(0, 'timeindex')]
  return { kit, batches, files: paths.map(path => ({ path, bytes: kit.disk.bytesOf(path) })) }
}

function isSeeded({ disk }: LogHarness): boolean {
  const index = temporaryPath(directory, 0, 'index')
  const timeIndex = temporaryPath(directory, 0, 'timeindex')
  const into = new SegmentIndexes(disk, 0, index, timeIndex, 1_000)
  return seedIndexes(disk, directory, 0, COUNT - 5, into) !== null
}

test('what a power cut leaves of them leads to right answers, by offset and by time', () => {
  const { kit, batches, files } = lived()
  expect(files.every(({ bytes }) => bytes.length > 3 * SECTOR)).toBe(true)
  expect(isSeeded(kit)).toBe(true)
  const random = seeded(7)
  let taken = 0
  for (let trial = 0; trial < 150; trial++) {
    for (const { path, bytes } of files) {
      const left = Buffer.from(bytes.subarray(0, Math.ceil(random() * bytes.length)))
      for (let at = 0; at < left.length; at += SECTOR) {
        if (random() < 0.15) left.fill(0, at, Math.min(left.length, at + SECTOR))
      }
      kit.disk.setBytes(path, left)
    }
    if (isSeeded(kit)) taken++
    kit.open({ recover: true, copyForward: false })
    kit.settle()
    for (let mark = 0; mark < COUNT; mark += 7) {
      expectSame([kit.read(mark, batches[mark].length).bytes], [batches[mark]])
      expect(kit.log.findByTime(FIRST_MS + mark)?.baseOffset, `trial ${trial}`).toBe(mark)
    }
    expect(kit.log.lostRanges.isEmpty).toBe(true)
    kit.log.close({ clean: false })
  }
  expect(taken).toBeGreaterThan(10)
})

test('whatever else is in them, no read is wrong', () => {
  const { kit, batches, files } = lived()
  const random = seeded(8)
  let taken = 0
  for (let trial = 0; trial < 300; trial++) {
    for (const { path, bytes } of files) {
      const wrong = Buffer.from(bytes)
      for (let flips = 1 + Math.floor(random() * 3); flips > 0; flips--) {
        const bit = Math.floor(random() * wrong.length * 8)
        wrong[bit >> 3] ^= 1 << (bit & 7)
      }
      kit.disk.setBytes(path, wrong)
    }
    if (isSeeded(kit)) taken++
    kit.open({ recover: true, copyForward: false })
    kit.settle()
    for (let mark = trial % 5; mark < COUNT; mark += 5) {
      expectSame([kit.read(mark, batches[mark].length).bytes], [batches[mark]])
    }
    expect(kit.log.lostRanges.isEmpty).toBe(true)
    kit.log.close({ clean: false })
  }
  expect(taken).toBeGreaterThan(10)
})
