/** What a start does with journals: whose records count, what is left of them, and what it says is on disk. */
import { expect, test } from 'vitest'
import { journalPaths, prepareJournal } from '../../workers/journal/files.ts'
import { encodeHead, headBytes, type JournalRecord } from '../../workers/journal/format.ts'
import { replayJournals } from '../../workers/journal/replay.ts'
import { runNow } from '../../workers/log/steps.ts'
import { makeBatch, stored, topicId } from '../log/log-kit.ts'
import { FaultDisk } from '../support/fault-disk.ts'
import { readJournals } from '../support/read-journals.ts'

const dataDirectory = '/data'
const logPath = '/data/t-0/00000000000000000000.log'
const places = [{ directory: '/data/t-0', topicId, partition: 0 }]

/** Batches of one record each, from offset 0 on, all of one size. */
const batches = Array.from({ length: 8 }, (_, offset) =>
  stored(makeBatch({ mark: offset }), offset),
)
const { length: batchBytes } = batches[0]

function directories(): FaultDisk {
  const disk = new FaultDisk()
  disk.mkdir(dataDirectory)
  disk.mkdir('/data/t-0')
  disk.syncDirectory('/')
  disk.syncDirectory(dataDirectory)
  return disk
}

/** A round with the batches at offsets [from, to) of the log's first segment. */
function roundOf(round: number, epoch: number, from: number, to: number): Buffer {
  const some = batches.slice(from, to)
  const bytes = some.length * batchBytes
  const where = { segmentBase: 0, position: from * batchBytes, baseOffset: from, endOffset: to }
  const records: JournalRecord[] = [{ topicId, partition: 0, ...where, bytes }]
  const head = Buffer.alloc(headBytes(1))
  encodeHead(head, { epoch, generation: 0, round, bytes: head.length + bytes }, records, some)
  return Buffer.concat([head, ...some])
}

function replay(disk: FaultDisk, ownerCount = 1) {
  const input = { dataDirectory, ownerCount, isClean: false, places }
  return runNow(disk, replayJournals(disk, input))
}

test('only what the journal proves is said to be on disk, not what the page cache holds behind it', () => {
  const disk = directories()
  disk.setBytes(logPath, Buffer.concat(batches.slice(0, 8)))
  const rounds = [roundOf(0, 1, 0, 3), roundOf(1, 1, 5, 6)]
  disk.setBytes('/data/journal-0-a', Buffer.concat(rounds))
  expect(replay(disk).logs).toEqual([{ directory: '/data/t-0', endOffset: 3 }])
})

test('rot below the checkpoint does not keep the journal from filling the end of the log', () => {
  const disk = directories()
  const rotten = Buffer.concat(batches.slice(0, 5))
  rotten.fill(0xff, batchBytes, batchBytes + 40)
  disk.setBytes(logPath, rotten)
  // A checkpoint at 4: everything below was synced.
  disk.setBytes('/data/t-0/00000000000000000004.window', Buffer.alloc(0))
  disk.setBytes('/data/journal-0-a', roundOf(0, 1, 4, 7))
  replay(disk)
  expect(disk.bytesOf(logPath).subarray(4 * batchBytes)).toEqual(Buffer.concat(batches.slice(4, 7)))
})

test('an epoch is not used twice, even when the file that knew it lost its beginning', () => {
  const disk = directories()
  const paths = journalPaths(dataDirectory, 0)
  prepareJournal(disk, paths, 4_000)
  // Many uses of which only the first file was needed.
  disk.setBytes(paths[0], Buffer.concat([roundOf(0, 9, 0, 1), Buffer.alloc(3_000)]))
  replay(disk)
  disk.setBytes(paths[0], Buffer.alloc(4_000, 0xee))
  replay(disk)
  const epochs = readJournals(disk, paths).map(({ epoch }) => epoch)
  expect(Math.min(...epochs)).toBeGreaterThan(9)
})

test('journals of owners that are no more are replayed and removed; without journals, all are', () => {
  const disk = directories()
  disk.setBytes(logPath, batches[0])
  for (const owner of [0, 1]) prepareJournal(disk, journalPaths(dataDirectory, owner), 4_000)
  disk.setBytes('/data/journal-1-b', roundOf(0, 3, 1, 4))
  expect(replay(disk, 1)).toMatchObject({ rounds: 1, writtenBytes: 3 * batchBytes })
  expect(disk.list(dataDirectory).sort()).toEqual(['journal-0-a', 'journal-0-b', 't-0'])
  expect(disk.bytesOf(logPath)).toEqual(Buffer.concat(batches.slice(0, 4)))
  replay(disk, 0)
  expect(disk.list(dataDirectory)).toEqual(['t-0'])
})

test('with a log that cannot be filled, all journals stay, and the next start fills it', () => {
  const disk = directories()
  disk.setBytes(logPath, batches[0])
  disk.setBytes('/data/journal-0-a', roundOf(0, 3, 1, 4))
  disk.onOperation = ({ kind, path }) =>
    kind === 'write' && path === logPath ? { code: 'ENOSPC' } : null
  expect(replay(disk).failed).toMatchObject([{ directory: '/data/t-0' }])
  disk.onOperation = () => null
  expect(replay(disk).failed).toEqual([])
  expect(disk.bytesOf(logPath)).toEqual(Buffer.concat(batches.slice(0, 4)))
  expect(replay(disk).rounds).toBe(1)
})

test('replaying twice writes nothing the second time', () => {
  const disk = directories()
  disk.setBytes('/data/journal-0-a', Buffer.concat([roundOf(0, 1, 0, 3), roundOf(1, 1, 3, 8)]))
  const round = disk.bytesOf('/data/journal-0-a')
  expect(replay(disk).writtenBytes).toBe(8 * batchBytes)
  disk.setBytes('/data/journal-0-a', round)
  expect(replay(disk).writtenBytes).toBe(0)
  expect(disk.bytesOf(logPath)).toEqual(Buffer.concat(batches))
})

test('a note of the topic id that the power cut off anywhere does not keep the journal out', () => {
  const note = Buffer.from(`version: 0\ntopic_id: ${topicId}\n`)
  for (let kept = 0; kept <= note.length; kept++) {
    for (const zeros of [0, note.length - kept]) {
      const disk = directories()
      const path = '/data/t-0/partition.metadata'
      disk.setBytes(path, Buffer.concat([note.subarray(0, kept), Buffer.alloc(zeros)]))
      disk.setBytes('/data/journal-0-a', roundOf(0, 1, 0, 3))
      expect(replay(disk).writtenBytes, `${kept} bytes, ${zeros} zeros`).toBe(3 * batchBytes)
    }
  }
  const disk = directories()
  const other = Buffer.from(note.toString().replace(topicId, topicId.toUpperCase()))
  disk.setBytes('/data/t-0/partition.metadata', other)
  disk.setBytes('/data/journal-0-a', roundOf(0, 1, 0, 3))
  expect(replay(disk).writtenBytes).toBe(0)
})

test('journals that somebody made who died before their names were on disk have names before use', () => {
  const disk = directories()
  const paths = journalPaths(dataDirectory, 0)
  disk.onOperation = ({ kind }) => (kind === 'syncDirectory' ? { code: 'EIO' } : null)
  expect(() => prepareJournal(disk, paths, 4_000)).toThrow('EIO')
  disk.onOperation = () => null
  prepareJournal(disk, paths, 4_000)
  disk.powerCut(() => 0.9)
  expect(disk.list(dataDirectory).sort()).toEqual(['journal-0-a', 'journal-0-b', 't-0'])
})
