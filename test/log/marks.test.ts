/** The file `log-marks`: what is written when, and what a crash at each step leaves (RELIABILITY A6, A21, P11, P13). */
import { beforeEach, describe, expect, test } from 'vitest'
import { encodeMarks, type MarkOffsets, Marks, readMarks } from '../../workers/log/marks.ts'
import { CrashError, FaultDisk, type OperationKind, seeded } from '../support/fault-disk.ts'

const directory = '/t-0'
const path = `${directory}/log-marks`

let disk: FaultDisk
let failures: Error[]
let marks: Marks
let done: (Error | null)[]

function openMarks(values: MarkOffsets): Marks {
  return new Marks(disk, directory, values, error => failures.push(error))
}

const note = (error: Error | null): void => {
  done.push(error)
}

beforeEach(() => {
  disk = new FaultDisk()
  disk.mkdir(directory)
  disk.syncDirectory('/')
  failures = []
  done = []
  marks = openMarks({ logStart: 0, cleanedEnd: 0 })
})

/** Completes syncs one by one until none is left. */
function settle(): void {
  while (disk.completeSyncs(1) > 0);
}

describe('the file', () => {
  test('reads as a person would write it', () => {
    expect(encodeMarks({ logStart: 1500, cleanedEnd: 1200 }).toString()).toBe(
      'version 1\nlog-start 1500\ncleaned-end 1200\ncrc32c 39c73bcf\n',
    )
  })

  test('missing, whole, bad', () => {
    expect(readMarks(disk, directory)).toBe('missing')
    const values = { logStart: Number.MAX_SAFE_INTEGER, cleanedEnd: 7 }
    const bytes = encodeMarks(values)
    disk.setBytes(path, bytes)
    expect(readMarks(disk, directory)).toEqual(values)
    for (let at = 0; at < bytes.length; at++) {
      disk.setBytes(path, bytes.subarray(0, at))
      expect(readMarks(disk, directory), `cut at ${at}`).toBe('bad')
      const flipped = Buffer.from(bytes)
      flipped[at] ^= 1
      disk.setBytes(path, flipped)
      expect(readMarks(disk, directory), `flipped at ${at}`).toBe('bad')
    }
  })
})

describe('moving a mark', () => {
  test('is done only when file and name are durable', () => {
    marks.moveLogStart(10, note)
    expect(done).toEqual([])
    expect(disk.exists(path)).toBe(false)
    disk.completeSyncs(1)
    expect(readMarks(disk, directory)).toEqual({ logStart: 10, cleanedEnd: 0 })
    expect(done).toEqual([])
    expect(marks.logStart).toBe(0)
    disk.completeSyncs(1)
    expect(done).toEqual([null])
    expect(marks.logStart).toBe(10)
    expect(disk.syncsInFlight).toBe(0)
  })

  test('keeps the other one, and neither goes back', () => {
    marks.moveLogStart(10, note)
    settle()
    marks.moveCleanedEnd(30, note)
    settle()
    marks.moveLogStart(5, note)
    marks.moveCleanedEnd(29, note)
    expect(done).toEqual([null, null, null, null])
    expect(disk.syncsInFlight).toBe(0)
    expect(readMarks(disk, directory)).toEqual({ logStart: 10, cleanedEnd: 30 })
  })

  test('what is asked for meanwhile shares one more write', () => {
    let creates = 0
    disk.onOperation = ({ kind }) => {
      if (kind === 'rename') creates++
      return null
    }
    marks.moveLogStart(1, note)
    for (let offset = 2; offset <= 20; offset++) marks.moveLogStart(offset, note)
    marks.moveCleanedEnd(3, note)
    settle()
    expect(creates).toBe(2)
    expect(done.length).toBe(21)
    expect(readMarks(disk, directory)).toEqual({ logStart: 20, cleanedEnd: 3 })
  })

  test('from within `done`', () => {
    marks.moveLogStart(1, () => marks.moveLogStart(2, note))
    settle()
    expect(done).toEqual([null])
    expect(readMarks(disk, directory)).toMatchObject({ logStart: 2 })
  })
})

describe('when the disk fails', () => {
  test.each<[OperationKind, number]>([
    ['sync', 1],
    ['syncDirectory', 1],
    ['rename', 1],
    ['write', 1],
  ])('%s with EIO: final, told once, nothing moved', kind => {
    disk.onOperation = operation => (operation.kind === kind ? { code: 'EIO' } : null)
    marks.moveLogStart(10, note)
    marks.moveLogStart(11, note)
    settle()
    expect(failures).toHaveLength(1)
    expect(done).toEqual([expect.any(Error), expect.any(Error)])
    expect(marks.logStart).toBe(0)
    const { operations } = disk
    disk.onOperation = () => null
    marks.moveLogStart(12, note)
    expect(done[2]).toBeInstanceOf(Error)
    expect(disk.operations).toBe(operations)
  })

  test('no room: the request fails, the next one works', () => {
    disk.onOperation = ({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null)
    marks.moveLogStart(10, note)
    expect(done).toEqual([expect.any(Error)])
    expect(failures).toEqual([])
    disk.onOperation = () => null
    marks.moveLogStart(4, note)
    settle()
    expect(done[1]).toBe(null)
    expect(readMarks(disk, directory)).toEqual({ logStart: 4, cleanedEnd: 0 })
  })

  test('a sync without room is a failed sync', () => {
    disk.onOperation = ({ kind }) => (kind === 'sync' ? { code: 'ENOSPC' } : null)
    marks.moveLogStart(10, note)
    settle()
    expect(failures).toHaveLength(1)
  })
})

test('closed in between: no rename, whoever waits is told, and it settles', async () => {
  marks.moveLogStart(10, note)
  marks.stop()
  expect(done).toEqual([expect.any(Error)])
  const settled = marks.settled()
  settle()
  await settled
  expect(readMarks(disk, directory)).toBe('missing')
})

test('a crash at any operation leaves the old marks or the new ones', () => {
  let crashes = 0
  for (let crashAt = 1; ; crashAt++) {
    for (const cut of [null, ...[1, 2, 3, 4, 5].map(seed => seeded(seed * 100 + crashAt))]) {
      disk = new FaultDisk()
      disk.mkdir(directory)
      disk.syncDirectory('/')
      let durable = 0
      let asked = 0
      disk.crashAt = disk.operations + crashAt
      try {
        marks = openMarks({ logStart: 0, cleanedEnd: 0 })
        for (const offset of [5, 9, 12]) {
          asked = offset
          marks.moveLogStart(offset, error => {
            if (error === null) durable = offset
          })
          settle()
          if (disk.crashed) throw new CrashError('in a sync')
        }
      } catch (error) {
        if (!(error instanceof CrashError)) throw error
      }
      if (!disk.crashed) {
        expect(crashes).toBeGreaterThan(50)
        return
      }
      crashes++
      if (cut === null) disk.kill()
      else disk.powerCut(cut)
      const found = readMarks(disk, directory)
      expect(found).not.toBe('bad')
      const { logStart } = typeof found === 'string' ? { logStart: 0 } : found
      expect(logStart).toBeGreaterThanOrEqual(durable)
      expect(logStart).toBeLessThanOrEqual(asked)
    }
  }
})
