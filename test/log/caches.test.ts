/**
 * Whatever becomes of the files that only repeat what the records say (RELIABILITY A17): lost, garbage, ahead, behind
 * or of another segment, the same records are read, found and deduplicated.
 */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { directory, expectSame, LogHarness, makeBatch } from './log-kit.ts'

const producer = { producerId: 5, producerEpoch: 0 }

/** Several segments, two checkpoints, an unproven end; the process is gone, or has stopped clean. */
function lived(isClean: boolean): { kit: LogHarness; batches: Buffer[] } {
  const kit = new LogHarness({ segmentBytesMax: 1_500, indexIntervalBytes: 150 }).open()
  const batches: Buffer[] = []
  const add = (count: number): void => {
    for (let index = 0; index < count; index++) {
      const mark = batches.length
      const batch = makeBatch({ mark, timestampMs: 1_000 + mark, ...producer, baseSequence: mark })
      kit.append(batch)
      batches.push(batch)
    }
  }
  for (let round = 0; round < 2; round++) {
    add(20)
    kit.settle()
    kit.clock.advance(6_000)
  }
  add(5)
  if (isClean) kit.closeClean()
  else kit.disk.kill()
  return { kit, batches }
}

const damages: [string, (bytes: Buffer, other: Buffer) => Buffer | null][] = [
  ['lost', () => null],
  ['empty', () => Buffer.alloc(0)],
  ['garbage', bytes => Buffer.alloc(Math.max(24, bytes.length), 0xa7)],
  ['zeros', bytes => Buffer.alloc(bytes.length)],
  ['cut', bytes => bytes.subarray(0, bytes.length - 5)],
  ['behind', bytes => bytes.subarray(0, Math.floor(bytes.length / 24) * 12)],
  ['upside down', bytes => Buffer.from(bytes).reverse()],
  ['of another file', (_, other) => other],
]

describe.each([true, false])('after a stop that was clean: %j', isClean => {
  describe.each(['index', 'timeindex', 'window', 'snapshot'])('%s files', suffix => {
    test.each(damages)('%s', (_, damage) => {
      const { kit, batches } = lived(isClean)
      const names = kit.names().filter(name => name.endsWith(`.${suffix}`))
      const contents = names.map(name => kit.disk.bytesOf(`${directory}/${name}`))
      for (const [index, name] of names.entries()) {
        const path = `${directory}/${name}`
        const bytes = damage(contents[index], contents[(index + 1) % contents.length])
        if (bytes === null) kit.disk.unlink(path)
        else kit.disk.setBytes(path, bytes)
      }
      kit.open({ recover: !isClean })
      expectSame(kit.readAll(), batches)
      for (const offset of [0, 7, 23, 44]) {
        expectSame([kit.read(offset, batches[offset].length).bytes], [batches[offset]])
      }
      // A producer that repeats its last batches is recognised; one that goes on is, too.
      for (let mark = 40; mark < 45; mark++) {
        const again = kit.stage(makeBatch({ mark, ...producer, baseSequence: mark }))
        expect(again).toMatchObject({ error: Errors.NONE, duplicate: true, baseOffset: mark })
      }
      const next = kit.stage(makeBatch({ ...producer, baseSequence: 45 }))
      expect(next).toMatchObject({ error: Errors.NONE, duplicate: false, baseOffset: 45 })
    })
  })
})

test('a disk that is too full for the indexes hides no record from a search by time', () => {
  const kit = new LogHarness({ segmentBytesMax: 1_500, indexIntervalBytes: 150 }).open()
  const add = (timestampMs: number): void => {
    kit.append(makeBatch({ timestampMs }))
  }
  add(1_000)
  kit.closeClean()
  kit.open()
  kit.disk.onOperation = ({ kind, path }) =>
    kind === 'write' && path.endsWith('index') ? { code: 'ENOSPC' } : null
  for (let mark = 1; mark < 60; mark++) add(1_000 + mark)
  expect(kit.log.segments.length).toBeGreaterThan(2)
  kit.disk.onOperation = () => null
  kit.settle()
  const found = (): unknown[] =>
    Array.from({ length: 61 }, (_, mark) => kit.log.findByTime(1_000 + mark)?.baseOffset)
  const wanted = [...Array(60).keys(), undefined]
  expect(found()).toEqual(wanted)
  kit.closeClean()
  kit.open()
  expect(found()).toEqual(wanted)
})

describe('a flushed end that was noted', () => {
  test.each([0, 3, 20, 45])('of %i, whatever the log holds', recoveryPoint => {
    const { kit, batches } = lived(false)
    kit.open({ recover: true, recoveryPoint })
    expectSame(kit.readAll(), batches)
  })

  test('below a torn end makes no rot of it', () => {
    const { kit, batches } = lived(false)
    const { path } = kit.log.active
    const bytes = kit.disk.bytesOf(path)
    kit.disk.setBytes(path, bytes.subarray(0, bytes.length - 3))
    kit.open({ recover: true, recoveryPoint: 44 })
    expectSame(kit.readAll(), batches.slice(0, 44))
    expect(kit.log.offsets.logEnd).toBe(44)
    expect(kit.log.lostRanges.isEmpty).toBe(true)
    expect(kit.append(makeBatch())[0].baseOffset).toBe(44)
  })

  test('that the log reaches makes rot of a bad batch below it, and nothing is cut', () => {
    const { kit, batches } = lived(false)
    const { path } = kit.log.active
    const bytes = kit.disk.bytesOf(path)
    // The last but one of the unproven batches.
    bytes[bytes.length - batches[44].length - 3] ^= 1
    kit.disk.setBytes(path, bytes)
    kit.open({ recover: true, recoveryPoint: 45 })
    expect(kit.log.offsets.logEnd).toBe(45)
    expect(kit.log.lostRanges.ranges).toEqual([{ firstOffset: 43, nextOffset: 44 }])
    expectSame([kit.read(44).bytes], [batches[44]])
  })
})
