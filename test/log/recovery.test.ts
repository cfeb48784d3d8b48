import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { directory, expectSame, LogHarness, makeBatch, stored } from './log-kit.ts'

/** A log of one segment, ten batches of three records, all flushed, none of it checkpointed; the process is gone. */
function crashed(config = {}): { kit: LogHarness; batches: Buffer[] } {
  const kit = new LogHarness({ indexIntervalBytes: 300, ...config }).open()
  const batches = Array.from({ length: 10 }, (_, mark) =>
    makeBatch({ records: 3, valueBytes: 30, mark }),
  )
  for (const batch of batches) kit.append(batch)
  kit.settle()
  kit.disk.kill()
  return { kit, batches }
}

/** As `crashed`, but everything is below a checkpoint. */
function checkpointed(): { kit: LogHarness; batches: Buffer[] } {
  const made = crashed()
  made.kit.open({ recover: true })
  made.kit.disk.kill()
  return made
}

const startOf = (batches: readonly Buffer[], index: number): number =>
  batches.slice(0, index).reduce((sum, batch) => sum + batch.length, 0)

function readError(kit: LogHarness, offset: number): number {
  const result = newReadResult()
  kit.log.read(offset, 10_000, Buffer.alloc(10_000), result)
  return result.error
}

describe('a torn tail', () => {
  test('wherever the file ends in the last batch, the batches before stay and the rest is kept aside', () => {
    const { batches } = crashed()
    const lastStart = startOf(batches, 9)
    for (let cut = lastStart; cut < lastStart + batches[9].length; cut += 7) {
      const { kit } = crashed()
      const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
      kit.disk.setBytes(kit.path(0, 'log'), bytes.subarray(0, cut))
      kit.open({ recover: true })
      expectSame(kit.readAll(), batches.slice(0, 9))
      expect(kit.log.offsets).toMatchObject({ logEnd: 27, highWatermark: 27 })
      expect(kit.log.loaded.truncatedBytes).toBe(cut - lastStart)
      const torn = kit.names().filter(name => name.includes('.torn-'))
      // The first bytes of a small base offset are zeros, which are nothing worth keeping.
      expect(torn.length).toBe(cut - lastStart < 8 ? 0 : 1)
      if (torn.length > 0) {
        const kept = kit.disk.bytesOf(`${directory}/${torn[0]}`)
        expect(kept.equals(bytes.subarray(lastStart, cut))).toBe(true)
      }
      const [next] = kit.append(makeBatch({ mark: 77 }))
      expect(next.baseOffset).toBe(27)
    }
  })

  test('a flipped byte anywhere in the last batch but its leader epoch is noticed', () => {
    const { batches } = crashed()
    const lastStart = startOf(batches, 9)
    for (let at = 0; at < batches[9].length; at++) {
      // The leader epoch lies outside the CRC and is the broker's own.
      if (at >= 12 && at < 16) continue
      const { kit } = crashed()
      const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
      bytes[lastStart + at] ^= 0x40
      kit.disk.setBytes(kit.path(0, 'log'), bytes)
      kit.open({ recover: true })
      expect(kit.log.offsets.logEnd, `byte ${at}`).toBe(27)
      expectSame(kit.readAll(), batches.slice(0, 9))
    }
  })

  test.each([
    ['zeros', Buffer.alloc(100_000)],
    ['twos, which look like magic', Buffer.alloc(100_000, 2)],
    ['noise', Buffer.from(Array.from({ length: 5_000 }, (_, index) => (index * 7919) % 251))],
    ['less than a header', Buffer.alloc(60, 1)],
  ])('%s behind the last batch are cut', (_, tail) => {
    const { kit, batches } = crashed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    kit.disk.setBytes(kit.path(0, 'log'), Buffer.concat([bytes, tail]))
    kit.open({ recover: true })
    expect(kit.log.loaded.truncatedBytes).toBe(tail.length)
    expect(kit.disk.bytesOf(kit.path(0, 'log')).equals(bytes)).toBe(true)
    expectSame(kit.readAll(), batches)
  })

  test('a valid batch that does not continue the log is not part of it', () => {
    for (const baseOffset of [0, 29, 31, 5_000]) {
      const { kit, batches } = crashed()
      const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
      const foreign = stored(makeBatch({ mark: 66 }), baseOffset)
      kit.disk.setBytes(kit.path(0, 'log'), Buffer.concat([bytes, foreign]))
      kit.open({ recover: true })
      expect(kit.log.offsets.logEnd).toBe(30)
      expectSame(kit.readAll(), batches)
    }
  })

  test('a full disk does not keep a torn log from opening', () => {
    const { kit, batches } = crashed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    kit.disk.setBytes(kit.path(0, 'log'), bytes.subarray(0, bytes.length - 5))
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'create' && path.includes('.torn-') ? { code: 'ENOSPC' } : null
    kit.open({ recover: true })
    expectSame(kit.readAll(), batches.slice(0, 9))
  })
})

describe('a bad batch with valid ones behind', () => {
  test('above the checkpoint: the log ends before it, everything cut is kept as suspect', () => {
    const { kit, batches } = crashed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    const badStart = startOf(batches, 4)
    bytes[badStart + 80] ^= 1
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    kit.open({ recover: true })
    expectSame(kit.readAll(), batches.slice(0, 4))
    expect(kit.log.offsets.logEnd).toBe(12)
    const [name] = kit.names().filter(file => file.includes('.suspect-'))
    expect(kit.disk.bytesOf(`${directory}/${name}`).equals(bytes.subarray(badStart))).toBe(true)
  })

  test('is called suspect also when its length is wrong', () => {
    const { kit, batches } = crashed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    bytes[startOf(batches, 4) + 11] ^= 1
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    kit.open({ recover: true })
    expect(kit.names().filter(file => file.includes('.suspect-')).length).toBe(1)
  })

  test('if it cannot be kept, the log does not open and nothing is cut', () => {
    const { kit, batches } = crashed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    bytes[startOf(batches, 4) + 80] ^= 1
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'create' && path.includes('.suspect-') ? { code: 'ENOSPC' } : null
    expect(() => kit.open({ recover: true })).toThrow('ENOSPC')
    expect(kit.disk.bytesOf(kit.path(0, 'log')).equals(bytes)).toBe(true)
  })

  test('garbage behind a sealed segment is cut, segments that continue the log stay', () => {
    const { kit, batches } = crashed({ segmentBytesMax: 600 })
    const [, second] = kit.names().filter(name => name.endsWith('.log'))
    const path = `${directory}/${second}`
    kit.disk.setBytes(path, Buffer.concat([kit.disk.bytesOf(path), Buffer.alloc(300, 3)]))
    kit.open({ recover: true })
    expect(kit.log.loaded.truncatedBytes).toBe(300)
    expectSame(kit.readAll(), batches)
  })

  test('later segments are set aside, not deleted', () => {
    const { kit, batches } = crashed({ segmentBytesMax: 600 })
    const logs = kit.names().filter(name => name.endsWith('.log'))
    expect(logs.length).toBeGreaterThan(3)
    const second = `${directory}/${logs[1]}`
    const bytes = kit.disk.bytesOf(second)
    bytes[bytes.length - 1] ^= 1
    kit.disk.setBytes(second, bytes)
    kit.open({ recover: true })
    const { logEnd } = kit.log.offsets
    expectSame(kit.readAll(), batches.slice(0, logEnd / 3))
    const aside = kit.names().filter(name => name.endsWith('.log.suspect-0'))
    expect(aside).toEqual(logs.slice(2).map(name => `${name}.suspect-0`))
    // What comes next takes the names that were set aside.
    for (let mark = 50; mark < 60; mark++) kit.append(makeBatch({ records: 3, mark }))
    kit.settle()
    kit.disk.kill()
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(logEnd + 30)
  })
})

describe('rot below the checkpoint', () => {
  function rotten(): { kit: LogHarness; batches: Buffer[] } {
    const made = checkpointed()
    const { kit, batches } = made
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    // The magic byte of batch 4, offsets 12 to 14.
    bytes[startOf(batches, 4) + 16] = 9
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    return made
  }

  test.each([
    ['after an unclean stop', true],
    ['after a clean one', false],
  ])('is never cut: an error for its offsets, everything else is served, %s', (_, recover) => {
    const { kit, batches } = rotten()
    const before = kit.disk.bytesOf(kit.path(0, 'log'))
    kit.open({ recover })
    expect(kit.disk.bytesOf(kit.path(0, 'log')).equals(before)).toBe(true)
    expect(kit.log.offsets).toMatchObject({ logEnd: 30, highWatermark: 30 })
    expectSame([kit.read(9).bytes], [batches[3]])
    for (const offset of [12, 13, 14]) {
      expect(readError(kit, offset)).toBe(Errors.CORRUPT_MESSAGE)
    }
    for (let offset = 15; offset < 30; offset++) {
      const index = Math.floor(offset / 3)
      expectSame([kit.read(offset, batches[index].length).bytes], [batches[index]])
    }
    const more = makeBatch({ mark: 88 })
    kit.append(more)
    kit.settle()
    expectSame([kit.read(30).bytes], [more])
  })

  test('a batch that lost bytes does not swallow the start of the next one', () => {
    const { kit, batches } = checkpointed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    const [cut, size] = [startOf(batches, 4) + 70, batches[4].length]
    // Batch 4 keeps its header and what follows it is the end of batch 5; by its length it ends in batch 6.
    const rest = bytes.subarray(cut + size + 10)
    kit.disk.setBytes(kit.path(0, 'log'), Buffer.concat([bytes.subarray(0, cut), rest]))
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(30)
    for (const index of [0, 3, 6, 7, 9]) {
      expectSame([kit.read(index * 3, size).bytes], [batches[index]])
    }
  })

  test('nothing is appended behind it, also when only building an index anew met it', () => {
    const { kit, batches } = rotten()
    kit.disk.unlink(kit.path(0, 'index'))
    kit.open({ recover: false })
    expect(kit.log.segments.map(segment => segment.baseOffset)).toEqual([0, 30])
    expectSame([kit.read(27).bytes], [batches[9]])
  })

  test('a reader that reaches it in sequence gets the error, not a gap', () => {
    const { kit, batches } = rotten()
    kit.open({ recover: true })
    const { bytes, nextOffset } = kit.read(0, 100_000)
    expect(bytes.equals(Buffer.concat(batches.slice(0, 4)))).toBe(true)
    expect(nextOffset).toBe(12)
    expect(readError(kit, 12)).toBe(Errors.CORRUPT_MESSAGE)
  })

  test('at the end of the file: offsets that were given out are not given out again', () => {
    const { kit, batches } = checkpointed()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    kit.disk.setBytes(kit.path(0, 'log'), bytes.subarray(0, startOf(batches, 8) + 20))
    kit.open({ recover: false })
    expect(kit.log.offsets).toMatchObject({ logEnd: 30, highWatermark: 30 })
    expectSame([kit.read(21).bytes], [batches[7]])
    expect(readError(kit, 24)).toBe(Errors.CORRUPT_MESSAGE)
    expect(readError(kit, 29)).toBe(Errors.CORRUPT_MESSAGE)
    const more = makeBatch({ records: 4, mark: 88 })
    expect(kit.append(more)[0].baseOffset).toBe(30)
    kit.settle()
    for (const offset of [30, 31, 33]) expectSame([kit.read(offset).bytes], [more])
    kit.closeClean()
    kit.open()
    expectSame([kit.read(32).bytes], [more])
  })

  test('a lost segment leaves an error in its place', () => {
    const { kit, batches } = crashed({ segmentBytesMax: 600 })
    kit.open({ recover: true })
    const [, second, third] = kit.log.segments.map(segment => segment.baseOffset)
    kit.disk.kill()
    kit.disk.unlink(kit.path(second, 'log'))
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(30)
    expect(readError(kit, second)).toBe(Errors.CORRUPT_MESSAGE)
    expect(readError(kit, third - 1)).toBe(Errors.CORRUPT_MESSAGE)
    expect(kit.read(third, 200).bytes.equals(batches[third / 3])).toBe(true)
    expect(kit.read(0, 200).bytes.equals(batches[0])).toBe(true)
  })

  test('a flushed end that the log does not reach: what is missing is lost, not given out again', () => {
    const kit = new LogHarness().open()
    kit.disk.kill()
    kit.disk.setBytes(kit.path(0, 'log'), Buffer.alloc(500, 7))
    kit.open({ recover: true, recoveryPoint: 1_000 })
    expect(kit.log.offsets.logEnd).toBe(1_000)
    expect(kit.log.lostRanges.ranges).toEqual([{ firstOffset: 0, nextOffset: 1_000 }])
    expect(readError(kit, 0)).toBe(Errors.CORRUPT_MESSAGE)
    const batch = makeBatch()
    expect(kit.append(batch)[0].baseOffset).toBe(1_000)
    kit.settle()
    expectSame([kit.read(1_000).bytes], [batch])
  })

  test('in the last flushed batch before the crash: nothing is cut, appends go on behind', () => {
    const kit = new LogHarness().open()
    const batches = [0, 1, 2, 3].map(mark => makeBatch({ mark }))
    for (const batch of batches) kit.append(batch)
    kit.settle()
    kit.disk.kill()
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    bytes[bytes.length - 1] ^= 1
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    kit.open({ recover: true, recoveryPoint: 4 })
    expect(kit.log.offsets.logEnd).toBe(4)
    expect(kit.log.lostRanges.ranges).toEqual([{ firstOffset: 3, nextOffset: 4 }])
    expect(kit.names().filter(name => /torn|suspect/.test(name))).toEqual([])
    expect(readError(kit, 3)).toBe(Errors.CORRUPT_MESSAGE)
    expect(kit.append(batches[0])[0].baseOffset).toBe(4)
    kit.settle()
    // The same after the next crash.
    kit.disk.kill()
    kit.open({ recover: true, recoveryPoint: 5 })
    expect(readError(kit, 3)).toBe(Errors.CORRUPT_MESSAGE)
    expect(kit.log.lostRanges.ranges).toEqual([{ firstOffset: 3, nextOffset: 4 }])
    expect(readError(kit, 4)).toBe(Errors.NONE)
  })

  test.each(['lost', 'damaged'])('with log-marks %s the log starts where it was noted', how => {
    const kit = new LogHarness({ segmentBytesMax: 200 }).open()
    for (let mark = 0; mark < 10; mark++) kit.append(makeBatch({ mark }))
    kit.settle()
    kit.log.retention.deleteRecords(5, () => {})
    kit.settle()
    kit.disk.kill()
    if (how === 'lost') kit.disk.unlink(`${directory}/log-marks`)
    else kit.disk.setBytes(`${directory}/log-marks`, Buffer.from('version 1\nlog-start 0\n'))
    kit.open({ recover: true, recoveryPoint: 10, logStart: 5 })
    expect(kit.log.offsets.logStart).toBe(5)
    kit.settle()
    kit.disk.kill()
    kit.open({ recover: true, recoveryPoint: 10 })
    expect(kit.log.offsets.logStart).toBe(5)
  })
})
