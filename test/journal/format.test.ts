/** Rounds of a journal file: what is read back, and what ends a file. */
import { expect, test } from 'vitest'
import {
  emptyJournal,
  journalPaths,
  listJournals,
  prepareJournal,
} from '../../workers/journal/files.ts'
import { encodeHead, headBytes, type JournalRecord } from '../../workers/journal/format.ts'
import { FaultDisk } from '../support/fault-disk.ts'
import { readJournals } from '../support/read-journals.ts'

const topicId = 'abcdefghijklmnopqrstuw'

function recordOf(baseOffset: number, batch: Buffer): JournalRecord {
  const endOffset = baseOffset + 1
  const where = { segmentBase: 2 ** 40, position: 7_000, baseOffset, endOffset }
  return { topicId, partition: 3, ...where, bytes: batch.length }
}

function roundOf(round: number, generation: number, epoch: number, batches: Buffer[]): Buffer {
  const records = batches.map((batch, index) => recordOf(2 ** 41 + 10 * round + index, batch))
  const head = Buffer.alloc(headBytes(records.length))
  const bytes = head.length + batches.reduce((sum, batch) => sum + batch.length, 0)
  encodeHead(head, { epoch, generation, round, bytes }, records, batches)
  return Buffer.concat([head, ...batches])
}

const batches = [Buffer.from('one batch'), Buffer.alloc(700, 'another')]

function read(bytes: Buffer): { rounds: number; offsets: number[]; positions: number[] } {
  const disk = new FaultDisk()
  disk.mkdir('/data')
  disk.setBytes('/data/journal-0-a', bytes)
  const [{ rounds, records }] = readJournals(disk, ['/data/journal-0-a'])
  const offsets = records.map(({ baseOffset }) => baseOffset)
  return { rounds, offsets, positions: records.map(({ journalPosition }) => journalPosition) }
}

test('whole rounds are read back with all their numbers, and where their batches are', () => {
  const bytes = Buffer.concat([
    roundOf(0, 5, 9, batches),
    roundOf(1, 5, 9, batches),
    Buffer.alloc(99),
  ])
  const first = headBytes(2)
  const second = first + 709 + headBytes(2)
  expect(read(bytes)).toEqual({
    rounds: 2,
    offsets: [2 ** 41, 2 ** 41 + 1, 2 ** 41 + 10, 2 ** 41 + 11],
    positions: [first, first + 9, second, second + 9],
  })
  const disk = new FaultDisk()
  disk.mkdir('/data')
  disk.setBytes('/data/a', bytes)
  const [{ epoch, generation, records }] = readJournals(disk, ['/data/a'])
  expect({ epoch, generation }).toEqual({ epoch: 9, generation: 5 })
  expect(records[0]).toMatchObject(recordOf(2 ** 41, batches[0]))
})

test('a round with any byte changed ends the file', () => {
  const whole = Buffer.concat([roundOf(0, 5, 9, batches), roundOf(1, 5, 9, batches)])
  const start = whole.length / 2
  for (let at = start; at < whole.length; at++) {
    const bytes = Buffer.from(whole)
    bytes[at] ^= 0x10
    expect(read(bytes).rounds, `byte ${at - start}`).toBe(1)
  }
  for (const size of [start, start + 1, start + 40, whole.length - 1]) {
    expect(read(whole.subarray(0, size)).rounds).toBe(1)
  }
})

test('what an older pass over the file left behind is not its continuation', () => {
  const stale = [roundOf(1, 4, 9, batches), roundOf(1, 5, 8, batches), roundOf(2, 5, 9, batches)]
  for (const behind of stale) {
    expect(read(Buffer.concat([roundOf(0, 5, 9, batches), behind])).rounds).toBe(1)
  }
  // A file whose beginning was lost holds nothing.
  expect(read(roundOf(1, 5, 9, batches)).rounds).toBe(0)
})

test('the older generation of a pair comes first, and an emptied file keeps its epoch', () => {
  const disk = new FaultDisk()
  disk.mkdir('/data')
  const paths = journalPaths('/data', 2)
  prepareJournal(disk, paths, 50_000)
  expect(listJournals(disk, '/data')).toEqual(paths)
  expect(paths.map(path => disk.bytesOf(path).length)).toEqual([50_000, 50_000])
  disk.setBytes(paths[0], roundOf(0, 6, 9, batches))
  disk.setBytes(paths[1], roundOf(0, 5, 9, batches))
  expect(readJournals(disk, paths).map(({ generation }) => generation)).toEqual([5, 6])
  emptyJournal(disk, paths[0], 10)
  const [b, a] = readJournals(disk, paths)
  expect([a.file.path, a.epoch, a.records.length]).toEqual([paths[0], 10, 0])
  expect([b.file.path, b.epoch, b.records.length]).toEqual([paths[1], 9, 2])
})

test('files of another size are made anew; where there is no room none is left', () => {
  const disk = new FaultDisk()
  disk.mkdir('/data')
  const paths = journalPaths('/data', 0)
  prepareJournal(disk, paths, 3_000_000)
  disk.onOperation = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null)
  expect(() => prepareJournal(disk, paths, 4_000_000)).toThrow('ENOSPC')
  expect(listJournals(disk, '/data')).toEqual([paths[1]])
  prepareJournal(disk, [paths[1]], 3_000_000)
})
