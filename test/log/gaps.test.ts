/**
 * Offsets that compaction took out, and directories that Apache Kafka wrote: below `cleanedEnd` gaps are the way things
 * are, above it they are loss (RELIABILITY P3). And the swaps that bring such files in: whatever a crash leaves of one,
 * the log is the old one or the new one.
 */
import { describe, expect, test } from 'vitest'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { encodeMarks } from '../../workers/log/marks.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { runNow } from '../../workers/log/steps.ts'
import { cleanedPath, finishSwaps, parseSwapName, swapPath } from '../../workers/log/swap.ts'
import { CrashError, seeded } from '../support/fault-disk.ts'
import { directory, expectSame, LogHarness, makeBatch, stored } from './log-kit.ts'

/** A batch of ten offsets at `baseOffset`; `left` says how many records compaction has left in it. */
function batchAt(baseOffset: number, left = 10, leaderEpoch = 0): Buffer {
  const batch = stored(makeBatch({ records: 10, mark: baseOffset }), baseOffset)
  batch.writeInt32BE(leaderEpoch, 12)
  batch.writeInt32BE(left, 57)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** Segments 0, 100 and 200; in the first two some batches are gone, some records of others too. */
const sealed = [batchAt(10, 4), batchAt(20), batchAt(60, 10, 7), batchAt(80, 0, 7)]
const second = [batchAt(130, 1, 8), batchAt(170, 2)]
const active = [batchAt(200), batchAt(210)]
const all = [...sealed, ...second, ...active]

function cleaned(cleanedEnd: number | 'bad' | 'missing'): LogHarness {
  const kit = new LogHarness({ indexIntervalBytes: 100 }).open()
  kit.isGappy = true
  kit.closeClean()
  for (const name of kit.names()) {
    if (!name.endsWith('.metadata')) kit.disk.unlink(`${directory}/${name}`)
  }
  for (const [base, batches] of [
    [0, sealed],
    [100, second],
    [200, active],
  ] as const) {
    kit.disk.setBytes(kit.path(base, 'log'), Buffer.concat(batches))
  }
  if (cleanedEnd === 'bad') kit.disk.setBytes(`${directory}/log-marks`, Buffer.from('no marks'))
  else if (cleanedEnd !== 'missing') {
    kit.disk.setBytes(`${directory}/log-marks`, encodeMarks({ logStart: 0, cleanedEnd }))
  }
  return kit
}

function readError(kit: LogHarness, offset: number): number {
  const result = newReadResult()
  kit.log.read(offset, 10_000, Buffer.alloc(10_000), result)
  return result.error
}

describe.each([true, false])('legal gaps, with recovery %j', recover => {
  test.each([200, 'bad'] as const)(
    'marks say %j: whatever offset is asked for, the next batch comes',
    marks => {
      const kit = cleaned(marks)
      kit.open({ recover })
      expect(kit.log.offsets).toMatchObject({ logEnd: 220, highWatermark: 220 })
      expectSame(kit.readAll(0, 100_000), all)
      expectSame(kit.readAll(0, sealed[1].length), all)
      for (let offset = 0; offset < 220; offset++) {
        const wanted = all.find(batch => Number(batch.readBigInt64BE(0)) + 9 >= offset) as Buffer
        expectSame([kit.read(offset, wanted.length).bytes], [wanted])
      }
      expect(kit.log.lostRanges.isEmpty).toBe(true)
    },
  )

  test('the same after appends, a restart and without indexes', () => {
    const kit = cleaned(200)
    kit.open({ recover })
    const more = makeBatch({ records: 2, mark: 5 })
    kit.append(more)
    kit.settle()
    kit.disk.kill()
    for (const name of kit.names()) {
      if (name.endsWith('index')) kit.disk.unlink(`${directory}/${name}`)
    }
    kit.open({ recover: true })
    expectSame(kit.readAll(), [...all, more])
    expect(kit.log.segments[0].indexes.offsets.lastOffset()).toBe(89)
  })

  test('rot between gaps is an error there and nowhere else', () => {
    const kit = cleaned(200)
    const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
    bytes[sealed[0].length + 100] ^= 1
    kit.open({ recover })
    kit.disk.setBytes(kit.path(0, 'log'), bytes)
    kit.closeClean()
    kit.open()
    expectSame([kit.read(0, 300).bytes], [sealed[0]])
    expect(readError(kit, 20)).toBe(Errors.CORRUPT_MESSAGE)
    expect(readError(kit, 59)).toBe(Errors.CORRUPT_MESSAGE)
    expectSame(kit.readAll(60), all.slice(2))
  })
})

describe('gaps that compaction did not make', () => {
  test('at a start that knows of nothing proven the log ends there, and all of it is kept', () => {
    const kit = cleaned('missing')
    kit.open({ recover: true })
    expect(kit.log.offsets.logEnd).toBe(0)
    expect(kit.names().filter(name => name.includes('.suspect-')).length).toBe(3)
  })

  test('below the synced end they are an error that names the next good offset', () => {
    for (const cleanedEnd of [0, 90, 140]) {
      const kit = cleaned(cleanedEnd)
      kit.open()
      for (const [offset, next] of [
        [30, 60],
        [140, 170],
      ]) {
        const result = newReadResult()
        kit.log.read(offset, 10_000, Buffer.alloc(10_000), result)
        if (offset < cleanedEnd && next <= cleanedEnd) expect(result.error).toBe(Errors.NONE)
        else {
          expect(result.error, `${offset} of ${cleanedEnd}`).toBe(Errors.CORRUPT_MESSAGE)
          expect(result.nextOffset).toBeGreaterThanOrEqual(next)
        }
      }
      expectSame(kit.readAll(200), active)
    }
  })
})

describe('swaps', () => {
  const range = { baseOffset: 0, endOffset: 200 }
  const kept = [batchAt(20, 3), batchAt(170, 2)]

  /** Everything is durable; the swap has got as far as `stage`. */
  function halfWay(stage: 'cleaned' | 'swap'): LogHarness {
    const kit = cleaned(200)
    kit.open({ recover: true })
    kit.closeClean()
    const path = stage === 'swap' ? swapPath(directory, range) : cleanedPath(directory, range)
    kit.disk.setBytes(path, Buffer.concat(kept))
    return kit
  }

  test('an undecided one is dropped, a decided one finished', () => {
    const undecided = halfWay('cleaned').open()
    expectSame(undecided.readAll(), all)
    const decided = halfWay('swap').open()
    expectSame(decided.readAll(), [...kept, ...active])
    expect(decided.log.segments.map(({ baseOffset }) => baseOffset)).toEqual([0, 200])
    for (const kit of [undecided, decided]) {
      expect(kit.names().filter(name => /cleaned|swap/.test(name))).toEqual([])
    }
  })

  test.each(['kill', 'power cut'])('ended at any operation by a %s, and again', how => {
    let crashAt = 1
    for (; ; crashAt++) {
      for (const seed of [1, 2, 3, 4]) {
        const kit = halfWay('swap')
        const random = seeded(seed * 100 + crashAt)
        const end = (): void => (how === 'kill' ? kit.disk.kill() : kit.disk.powerCut(random))
        let crashed = 0
        for (const nested of [crashAt, 1 + Math.floor(random() * 12)]) {
          kit.disk.crashAt = kit.disk.operations + nested
          try {
            runNow(kit.disk, finishSwaps(kit.disk, directory))
          } catch (error) {
            if (!(error instanceof CrashError)) throw error
          }
          if (kit.disk.crashed) crashed++
          end()
        }
        kit.open({ recover: true })
        expectSame(kit.readAll(), [...kept, ...active])
        kit.disk.powerCut(random)
        kit.open({ recover: true })
        expectSame(kit.readAll(), [...kept, ...active])
        if (crashed === 0 && crashAt > 12) return
      }
    }
  })

  test('one that takes out everything leaves an empty segment', () => {
    const kit = halfWay('swap')
    kit.disk.setBytes(swapPath(directory, range), Buffer.alloc(0))
    kit.open()
    expectSame(kit.readAll(), active)
    expectSame([kit.read(50, 300).bytes], [active[0]])
  })

  test.each([
    ['00000000000000000000-00000000000000000200.log.swap', true],
    ['00000000000000000200-00000000000000000200.log.cleaned', true],
    ['00000000000000000201-00000000000000000200.log.swap', false],
    ['0-200.log.swap', false],
    ['99999999999999999999-99999999999999999999.log.swap', false],
    ['00000000000000000000.log.swap', false],
  ])('the name %s', (name, isSwap) => {
    expect(parseSwapName(name) !== null).toBe(isSwap)
  })
})
