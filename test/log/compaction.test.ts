/** Compaction of a log that is served: what readers, producers and restarts find, before, during and after. */
import { describe, expect, test } from 'vitest'
import { encodeBatch } from '../../src/protocol/encode-batch.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CompactedLog } from './compacted-log.ts'
import { pairsOf } from './compaction-kit.ts'

/** Three keys over and over, one batch a round: about four batches a segment. */
function fill(kit: CompactedLog, rounds: number, from = 0): void {
  for (let round = from; round < from + rounds; round++) {
    kit.put(`a=${round} b${round % 2}=${round} c=${'x'.repeat(20)}${round}`)
  }
}

function compactedLog(...args: ConstructorParameters<typeof CompactedLog>): CompactedLog {
  return new CompactedLog(...args).open()
}

describe('a log of three keys', () => {
  test('keeps the last record of each key, at its offset, and what is not sealed', async () => {
    const kit = compactedLog()
    fill(kit, 20)
    kit.idle()
    const before = kit.consume()
    const active = kit.log.active.baseOffset
    await kit.compact()
    const after = kit.consume()
    const sealed = before.filter(({ offset }) => offset < active)
    const last = sealed.filter(
      ({ key, offset }) => !sealed.some(other => other.key === key && other.offset > offset),
    )
    expect(after).toEqual([...last, ...before.filter(({ offset }) => offset >= active)])
    expect(last).toHaveLength(4)
    expect(kit.log.offsets).toMatchObject({ logStart: 0, logEnd: 60, highWatermark: 60 })
    expect(kit.troubles).toEqual([])
    expect(kit.leftovers()).toEqual([])
    expect(kit.log.marks.cleanedEnd).toBe(active)
    // Readers may stand anywhere, and read little at a time.
    for (let offset = 0; offset < 60; offset++) {
      expect(kit.consume(offset, 200)).toEqual(after.filter(record => record.offset >= offset))
    }
  })

  test.each([
    ['clean', true],
    ['unclean', false],
  ])('is the same after a %s stop', async (_, isClean) => {
    const kit = compactedLog()
    fill(kit, 20)
    kit.idle()
    await kit.compact()
    const before = kit.consume()
    const size = kit.log.describe()
    if (isClean) expect(kit.closeClean()).toBe(true)
    else kit.disk.kill()
    kit.open({ recover: !isClean })
    expect(kit.consume()).toEqual(before)
    expect(kit.log.describe().segmentCount).toBe(size.segmentCount)
    fill(kit, 20, 20)
    kit.idle()
    await kit.compact()
    const active = kit.log.active.baseOffset
    const sealed = kit.consume().filter(({ offset }) => offset < active)
    expect(sealed.filter(({ key }) => key === 'b0')).toHaveLength(1)
    expect(sealed.length).toBeLessThanOrEqual(4)
    expect(kit.troubles).toEqual([])
  })

  test('goes on from where the last pass ended', async () => {
    const kit = compactedLog()
    fill(kit, 20)
    kit.idle()
    await kit.compact()
    const { mapEnd } = kit.passes[0]
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
    expect(kit.names()).toContain(`${String(mapEnd).padStart(20, '0')}.compacted`)
    kit.closeClean()
    kit.open()
    await kit.compact()
    expect(kit.passes).toHaveLength(1)
  })

  test('many segments become few, and their indexes lead to every batch', async () => {
    const kit = compactedLog({ segmentBytesMax: 2_000 })
    fill(kit, 200)
    kit.idle()
    const segments = kit.log.segments.length
    expect(segments).toBeGreaterThan(10)
    await kit.compact()
    fill(kit, 50, 200)
    kit.idle()
    await kit.compact()
    expect(kit.log.segments.length).toBeLessThan(7)
    const all = kit.consume()
    const [first] = kit.log.segments
    expect(first.path).toBe(kit.path(first.baseOffset, 'log'))
    expect(kit.names()).toContain(`${String(first.baseOffset).padStart(20, '0')}.index`)
    for (const { offset } of all) expect(kit.consume(offset)[0].offset).toBe(offset)
  })
})

test('a segment of which nothing is left, and one without its last records', async () => {
  const kit = compactedLog({ segmentBytesMax: 150 })
  kit.put('a=1 b=1')
  kit.put('a=2 b=2')
  kit.put('c=1')
  kit.put('d=1 a=3 b=3')
  kit.put('c=2 d=2')
  kit.put('e=1 c=3 d=3')
  kit.put('f=1 c=4 d=4')
  kit.idle()
  const active = kit.log.active.baseOffset
  await kit.compact()
  expect(kit.disk.bytesOf(kit.path(0, 'log'))).toHaveLength(0)
  const expected = ['6:a=3', '7:b=3', '10:e=1', '11:c=3', '12:d=3', '13:f=1', '14:c=4', '15:d=4']
  expect(active).toBe(13)
  for (const recover of [false, true]) {
    for (let offset = 0; offset < 16; offset++) {
      const left = expected.filter(pair => Number.parseInt(pair, 10) >= offset)
      expect(pairsOf(kit.consume(offset))).toEqual(left)
    }
    expect(kit.closeClean()).toBe(true)
    kit.open({ recover })
    expect(kit.log.offsets).toMatchObject({ logStart: 0, logEnd: 16 })
  }
})

test('look-ups by time find records, not the places where some were', async () => {
  const kit = compactedLog({ segmentBytesMax: 80 })
  kit.put('a=1', { timestampMs: 5_000, producerId: 1, producerEpoch: 0, baseSequence: 0 })
  kit.put('b=1', { timestampMs: 2_000 })
  kit.put('a=2', { timestampMs: 3_000 })
  kit.put('c=1', { timestampMs: 1_000 })
  kit.put('c=2', { timestampMs: 1_500 })
  kit.put('d=1', { timestampMs: 1_000 })
  kit.idle()
  await kit.compact()
  expect(pairsOf(kit.consume())).toEqual(['1:b=1', '2:a=2', '4:c=2', '5:d=1'])
  for (const recover of [false, true]) {
    expect(kit.log.findByTime(2_500)?.baseOffset).toBe(2)
    expect(kit.log.findByTime(1_000)?.baseOffset).toBe(1)
    expect(kit.log.findByTime(4_000)).toBeNull()
    expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(2)
    kit.closeClean()
    kit.open({ recover })
  }
})

test('the largest time of a segment is that of a record, not of a batch that was emptied', async () => {
  const kit = compactedLog({ segmentBytesMax: 260 })
  kit.put('x=1', { timestampMs: 3_000 })
  kit.put('a=1', { timestampMs: 5_000, producerId: 1, producerEpoch: 0, baseSequence: 0 })
  kit.put('a=2', { timestampMs: 1_000 })
  kit.put('y=1', { timestampMs: 1_000 })
  kit.idle()
  expect(kit.log.active.baseOffset).toBe(3)
  await kit.compact()
  expect(pairsOf(kit.consume())).toEqual(['0:x=1', '2:a=2', '3:y=1'])
  expect(kit.log.segments[0].indexes.maxTimestampMs).toBe(3_000)
  expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(0)
})

test('readers find the same at every moment of the swap', async () => {
  const kit = compactedLog({ segmentBytesMax: 300 })
  fill(kit, 12)
  kit.put('a b0 b1')
  fill(kit, 4, 13)
  kit.idle()
  const before = kit.consume()
  const newest = new Map(before.map(record => [record.key, record]))
  let turns = 0
  await kit.compact(() => {
    turns++
    const now = kit.consume()
    for (const record of now) expect(before).toContainEqual(record)
    for (const record of newest.values()) expect(now).toContainEqual(record)
    for (let offset = 0; offset < kit.log.offsets.highWatermark; offset += 5) {
      expect(kit.consume(offset)).toEqual(now.filter(record => record.offset >= offset))
    }
    // Descriptors may go at any moment, and come back by name.
    for (const segment of kit.log.segments) if (segment !== kit.log.active) segment.closeFile()
  })
  expect(turns).toBeGreaterThan(8)
  expect(kit.passes).toHaveLength(1)
})

test('a producer is recognised by its last five batches, whatever became of their records', async () => {
  for (const isWindowLost of [false, true]) {
    const kit = compactedLog({ segmentBytesMax: 250 })
    const send = (sequence: number): ReturnType<CompactedLog['stage']> => {
      const pair = { key: Buffer.from('k'), value: Buffer.from(`v${sequence}`) }
      const result = kit.stage(
        encodeBatch({
          records: [pair, pair],
          producerId: 7,
          producerEpoch: 0,
          baseSequence: sequence * 2,
        }),
      )
      expect(kit.log.commit()).toBe(Errors.NONE)
      return { ...result }
    }
    for (let sequence = 0; sequence < 9; sequence++) expect(send(sequence).duplicate).toBe(false)
    for (let round = 0; round < 9; round++) kit.put(`k=${round}`)
    kit.idle()
    await kit.compact()
    expect(pairsOf(kit.consume())[0]).not.toContain('0:')
    expect(kit.consume().filter(({ value }) => value?.startsWith('v'))).toEqual([])
    if (isWindowLost) {
      kit.settle()
      for (const name of kit.names().filter(file => /window|snapshot/.test(file))) {
        kit.disk.unlink(kit.path(0, 'x').replace(/[^/]*$/, name))
      }
      kit.disk.kill()
    } else {
      expect(kit.closeClean()).toBe(true)
    }
    kit.open({ recover: isWindowLost })
    for (let sequence = 4; sequence < 9; sequence++) {
      const again = send(sequence)
      expect(again).toMatchObject({ error: Errors.NONE, duplicate: true, baseOffset: sequence * 2 })
    }
    expect(send(3).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(send(9)).toMatchObject({ error: Errors.NONE, duplicate: false })
  }
})
