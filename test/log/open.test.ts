import { describe, expect, test } from 'vitest'
import { recoverOn } from '../../workers/tasks/recover-segment.ts'
import { baseConfig, directory, expectSame, LogHarness, makeBatch, topicId } from './log-kit.ts'

/** A log of several segments, its batches, still open. */
function filled(config = {}): { kit: LogHarness; batches: Buffer[] } {
  const kit = new LogHarness({ segmentBytesMax: 2_000, indexIntervalBytes: 200, ...config }).open()
  const batches = Array.from({ length: 40 }, (_, mark) =>
    makeBatch({ records: 2, valueBytes: 60, mark, timestampMs: 1_000 + mark }),
  )
  for (const batch of batches) kit.append(batch)
  kit.settle()
  return { kit, batches }
}

describe('a clean stop', () => {
  test('the next open reads the last segment from its last index entry on, and nothing else', () => {
    const { kit, batches } = filled()
    expect(kit.closeClean()).toBe(true)
    let logBytes = 0
    const opened = new Set<string>()
    kit.disk.onOperation = ({ kind, path, bytes }) => {
      if (path.endsWith('.log') && kind === 'open') opened.add(path)
      if (path.endsWith('.log') && kind === 'read') logBytes += bytes
      return null
    }
    kit.open()
    expect([...opened]).toEqual([kit.log.active.path])
    // The tail behind the last entry, and the header of the first batch for the segment's age.
    expect(logBytes).toBeLessThan(4_000)
    kit.disk.onOperation = () => null
    expect(kit.log.loaded).toMatchObject({ recoveredBytes: 0, truncatedBytes: 0 })
    expectSame(kit.readAll(), batches)
  })

  test('a log that goes on after it is as one that never stopped', () => {
    const { kit, batches } = filled({ segmentBytesMax: 100_000 })
    const twin = filled({ segmentBytesMax: 100_000 }).kit
    kit.closeClean()
    kit.open()
    for (let mark = 40; mark < 80; mark++) {
      const more = [kit, twin].map(log => {
        const batch = makeBatch({ records: 2, valueBytes: 60, mark, timestampMs: 1_000 + mark })
        log.append(batch)
        return batch
      })
      batches.push(more[0])
    }
    kit.closeClean()
    twin.closeClean()
    for (const suffix of ['log', 'index']) {
      const bytes = kit.disk.bytesOf(kit.path(0, suffix))
      expect(bytes.equals(twin.disk.bytesOf(twin.path(0, suffix))), suffix).toBe(true)
    }
    kit.open()
    expectSame(kit.readAll(), batches)
  })

  test('the age of a segment survives', () => {
    const kit = new LogHarness({ segmentAgeMsMax: 60_000 }).open()
    kit.append(makeBatch({ timestampMs: kit.clock.wall }))
    kit.clock.advance(50_000)
    kit.closeClean()
    kit.open()
    kit.append(makeBatch())
    expect(kit.log.segments.length).toBe(1)
    kit.clock.advance(10_001)
    kit.append(makeBatch())
    expect(kit.log.segments.length).toBe(2)
  })

  test('close without clean leaves it to recovery, and both find the same', () => {
    const { kit, batches } = filled()
    expect(kit.log.close({ clean: false })).toBe(false)
    kit.open({ recover: true })
    expect(kit.log.loaded.truncatedBytes).toBe(0)
    expectSame(kit.readAll(), batches)
  })

  test('a tail that does not end cleanly after all is recovered', () => {
    const { kit, batches } = filled()
    kit.closeClean()
    const { path } = kit.log.active
    kit.disk.setBytes(path, Buffer.concat([kit.disk.bytesOf(path), Buffer.from('not a batch')]))
    kit.open()
    expect(kit.log.loaded.truncatedBytes).toBe(11)
    expectSame(kit.readAll(), batches)
  })
})

describe('indexes are caches', () => {
  const damages: [string, (bytes: Buffer) => Buffer | null][] = [
    ['lost', () => null],
    ['empty', () => Buffer.alloc(0)],
    ['torn in an entry', bytes => bytes.subarray(0, bytes.length - 3)],
    ['short', bytes => bytes.subarray(0, 24)],
    ['zeros', bytes => Buffer.alloc(bytes.length)],
    ['garbage', bytes => Buffer.alloc(bytes.length, 0xa7)],
    [
      'small garbage',
      bytes => {
        for (let at = 0; at < bytes.length; at++) bytes[at] = at % 4 < 2 ? 0 : (at * 31) % 7
        return bytes
      },
    ],
    [
      'ahead of the records',
      bytes => {
        for (let at = 4; at + 8 < bytes.length; at += 8) {
          bytes.writeInt32BE(bytes.readInt32BE(at + 8), at)
        }
        return bytes
      },
    ],
  ]
  for (const recover of [false, true]) {
    test.each(damages)(`%s: the same reads, ${recover ? 'unclean' : 'clean'} stop`, (_, damage) => {
      const { kit, batches } = filled()
      if (recover) kit.log.close({ clean: false })
      else kit.closeClean()
      for (const name of kit.names().filter(file => file.endsWith('.index'))) {
        const path = `${directory}/${name}`
        const bytes = damage(kit.disk.bytesOf(path))
        if (bytes === null) kit.disk.unlink(path)
        else kit.disk.setBytes(path, bytes)
      }
      kit.open({ recover })
      expectSame(kit.readAll(), batches)
      for (const offset of [0, 13, 40, 41, 79, 5]) {
        const [index, size] = [Math.floor(offset / 2), batches[0].length + 4]
        expectSame([kit.read(offset, size).bytes], [batches[index]])
      }
    })
  }

  test('a lost time index is built anew', () => {
    const { kit, batches } = filled()
    kit.closeClean()
    for (const name of kit.names().filter(file => file.endsWith('.timeindex'))) {
      kit.disk.unlink(`${directory}/${name}`)
    }
    kit.open()
    for (const mark of [0, 17, 39]) {
      expect(kit.log.findByTime(1_000 + mark)).toMatchObject({ baseOffset: mark * 2 })
    }
    expectSame(kit.readAll(), batches)
  })
})

describe('partition.metadata', () => {
  const path = `${directory}/partition.metadata`

  test("is written as Kafka's", () => {
    const kit = new LogHarness().open()
    expect(kit.disk.bytesOf(path).toString()).toBe(`version: 0\ntopic_id: ${topicId}\n`)
  })

  test('a directory of another topic id is refused, naming both', () => {
    const { kit } = filled()
    kit.closeClean()
    const other = 'zzzzzzzzzzzzzzzzzzzzzz'
    expect(() => kit.open({ topicId: other })).toThrow(topicId)
    expect(() => kit.open({ topicId: other })).toThrow(other)
    expect(() => kit.open({ topicId: other })).toThrow(
      expect.objectContaining({ code: 'EBADTOPIC' }),
    )
  })

  test.each(['', 'version: 0\nto', '\0\0\0\0\0\0\0\0'])(
    'torn by a crash while it was written (%j) it is written again',
    text => {
      const { kit, batches } = filled()
      kit.closeClean()
      kit.disk.setBytes(path, Buffer.from(text))
      kit.open()
      expect(kit.disk.bytesOf(path).toString()).toContain(topicId)
      expectSame(kit.readAll(), batches)
    },
  )

  test('one that is neither is not overwritten', () => {
    const { kit } = filled()
    kit.closeClean()
    kit.disk.setBytes(path, Buffer.from('something else'))
    expect(() => kit.open()).toThrow(directory)
    expect(kit.disk.bytesOf(path).toString()).toBe('something else')
  })
})

describe('a verdict of the recovery task', () => {
  const input = {
    directory,
    recoveryPoint: 0,
    flushedOffset: -1,
    copyForward: true,
    indexIntervalBytes: 200,
    nowMs: 1,
  }

  test('is acted on as if the owner had scanned itself', () => {
    const damaged = (): LogHarness => {
      const { kit } = filled()
      kit.disk.kill()
      const bytes = kit.disk.bytesOf(kit.log.active.path)
      kit.disk.setBytes(kit.log.active.path, bytes.subarray(0, bytes.length - 10))
      return kit
    }
    const [byTask, byOwner] = [damaged(), damaged()]
    const before = byTask.names()
    const verdict = recoverOn(byTask.disk, input)
    // The task itself changes nothing but temporary files.
    expect(byTask.names().filter(name => !name.endsWith('.tmp'))).toEqual(before)
    byTask.open({ recover: true, verdict: structuredClone(verdict) })
    byOwner.open({ recover: true })
    expect(byTask.log.offsets).toEqual(byOwner.log.offsets)
    expect(byTask.names()).toEqual(byOwner.names())
    expect(byTask.names().filter(name => name.endsWith('.tmp'))).toEqual([])
    for (const name of byTask.names()) {
      const bytes = byTask.disk.bytesOf(`${directory}/${name}`)
      expect(bytes.equals(byOwner.disk.bytesOf(`${directory}/${name}`)), name).toBe(true)
    }
    expectSame(byTask.readAll(), byOwner.readAll())
  })

  test('is not believed when the files changed since', () => {
    const { kit, batches } = filled()
    kit.disk.kill()
    const verdict = recoverOn(kit.disk, input)
    kit.open({ recover: true })
    const more = makeBatch({ mark: 99 })
    kit.append(more)
    kit.settle()
    kit.disk.kill()
    kit.open({ recover: true, verdict })
    expectSame(kit.readAll(), [...batches, more])
  })
})

test('under constant load the checkpoint comes with the next flush', () => {
  const kit = new LogHarness().open()
  kit.append(makeBatch())
  // Never idle: a sync is in flight whenever the clock looks.
  for (let second = 0; second < 12; second++) {
    kit.clock.advance(1_000)
    kit.append(makeBatch({ mark: second }))
    kit.disk.completeSyncs(1)
  }
  const windows = kit.names().filter(name => name.endsWith('.window'))
  expect(windows.length).toBeGreaterThan(0)
  for (const name of windows) {
    expect(Number.parseInt(name, 10)).toBeLessThanOrEqual(kit.log.offsets.recoveryPoint)
  }
})

test('recovery bounded by a checkpoint does not read what lies before it', () => {
  const kit = new LogHarness({ segmentBytesMax: 3_000 }).open()
  for (let mark = 0; mark < 200; mark++) kit.append(makeBatch({ valueBytes: 200, mark }))
  kit.settle()
  // Time for a checkpoint.
  kit.clock.advance(10_000)
  kit.append(makeBatch({ mark: 201 }))
  kit.settle()
  kit.disk.kill()
  const opened = new Set<string>()
  kit.disk.onOperation = ({ kind, path }) => {
    if (kind === 'open' && path.endsWith('.log')) opened.add(path)
    return null
  }
  kit.open({ recover: true })
  expect(opened.size).toBeLessThanOrEqual(2)
  expect(kit.log.segments.length).toBeGreaterThan(10)
  kit.disk.onOperation = () => null
  expect(kit.readAll().length).toBe(201)
})

test.each([true, false])(
  'a log without files goes on where its flushed end was (recover: %s)',
  recover => {
    const kit = new LogHarness().open({ recover, recoveryPoint: 5, flushedOffset: 7 })
    expect(kit.append(makeBatch())[0].baseOffset).toBe(7)
  },
)

test('after a clean stop a log that is shorter than noted is looked at', () => {
  const kit = new LogHarness().open()
  kit.append(makeBatch({ records: 5 }))
  kit.settle()
  kit.closeClean()
  kit.open({ recoveryPoint: 5 })
  expect(kit.log.lostRanges.isEmpty).toBe(true)
  kit.closeClean()
  kit.open({ recoveryPoint: 8 })
  expect(kit.log.lostRanges.ranges).toEqual([{ firstOffset: 5, nextOffset: 8 }])
  expect(kit.append(makeBatch())[0].baseOffset).toBe(8)
})

test('a directory without segments begins at 0; unknown files are left alone', () => {
  const kit = new LogHarness()
  kit.disk.mkdir(directory)
  kit.disk.setBytes(`${directory}/leader-epoch-checkpoint`, Buffer.from('0\n0\n'))
  kit.disk.setBytes(`${directory}/00000000000000000007.index.tmp`, Buffer.from('x'))
  kit.open({ recover: true })
  expect(kit.append(makeBatch())[0].baseOffset).toBe(0)
  expect(kit.names()).toContain('leader-epoch-checkpoint')
  expect(kit.names().filter(name => name.endsWith('.tmp'))).toEqual([])
})

test('delete removes the directory, whatever is in it', () => {
  const { kit } = filled()
  kit.append(makeBatch())
  void kit.log.delete()
  expect(kit.disk.exists(directory)).toBe(false)
  kit.settle()
  expect(kit.disk.list('/data')).toEqual([])
  expect(kit.failures).toEqual([])
  kit.open({ topicId: 'zzzzzzzzzzzzzzzzzzzzzz' })
  expect(kit.log.offsets.logEnd).toBe(0)
})

test('a thousand sealed segments cost no descriptor and no index until they are read', () => {
  const kit = new LogHarness({ ...baseConfig, segmentBytesMax: 200 }).open()
  const batches = Array.from({ length: 1_000 }, (_, mark) => makeBatch({ valueBytes: 60, mark }))
  for (const batch of batches) kit.append(batch)
  kit.settle()
  kit.closeClean()
  const before = kit.disk.operations
  kit.open()
  expect(kit.disk.operations - before).toBeLessThan(30)
  expectSame(kit.readAll(), batches)
})
