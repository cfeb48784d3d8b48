/**
 * The directory is Apache Kafka's own format. Checked by hand with Kafka 3.9.1: DumpLogSegments read such directories
 * (all codecs, rolls, restarts, recovery) and found every batch valid and no index mismatch. What that tool checks is
 * checked here too.
 */
import { expect, test } from 'vitest'
import {
  batchBytesAt,
  isCrcValid,
  lastOffsetAt,
  leaderEpochAt,
  maxTimestampAt,
} from '../../src/protocol/record-batch.ts'
import { LogHarness, makeBatch } from './log-kit.ts'

test('a small log, byte for byte', () => {
  const kit = new LogHarness({ indexIntervalBytes: 0, segmentBytesMax: 250 }).open()
  for (const [sequence, timestampMs] of [1_700_000_000_005, 1_700_000_000_001].entries()) {
    kit.append(
      makeBatch({
        timestampMs,
        valueBytes: 4,
        producerId: 9,
        producerEpoch: 1,
        baseSequence: sequence,
      }),
    )
  }
  kit.append(makeBatch({ records: 2, timestampMs: 1_700_000_000_009, valueBytes: 4 }))
  kit.append(makeBatch({ timestampMs: 1_700_000_000_010, valueBytes: 4 }))
  expect(kit.closeClean()).toBe(true)
  const hex = (offset: number, suffix: string): string =>
    kit.disk.bytesOf(kit.path(offset, suffix)).toString('hex')
  // base offset, length, epoch 0, magic 2, crc | attributes, last delta, first and last time, producer id, epoch,
  // sequence, count | records
  expect(hex(0, 'log')).toBe(
    '00000000000000000000003c0000000002e880dfd3' +
      '0000000000000000018bcfe568050000018bcfe56805000000000000000900010000000000000001' +
      '140000000108302e303b00' +
      '00000000000000010000003c000000000247b32078' +
      '0000000000000000018bcfe568010000018bcfe56801000000000000000900010000000100000001' +
      '140000000108302e303b00' +
      '0000000000000002000000470000000002609045ce' +
      '0000000000010000018bcfe568090000018bcfe56809ffffffffffffffffffffffffffff00000002' +
      '140000000108302e303b00140000020108302e313b00',
  )
  expect(hex(0, 'index')).toBe('0000000100000048' + '0000000300000090')
  expect(hex(0, 'timeindex')).toBe('0000018bcfe5680500000000' + '0000018bcfe5680900000003')
  expect(hex(4, 'log')).toBe(
    '00000000000000040000003c0000000002058f7900' +
      '0000000000000000018bcfe5680a0000018bcfe5680affffffffffffffffffffffffffff00000001' +
      '140000000108302e303b00',
  )
  expect(hex(4, 'index')).toBe('')
  expect(hex(4, 'timeindex')).toBe('0000018bcfe5680a00000000')
  expect(hex(5, 'snapshot')).toBe(
    '0001448b56000000000100000000000000090001000000010000000000000001000000000000018bcfe56801' +
      'ffffffffffffffffffffffff',
  )
})

test('indexes say what DumpLogSegments wants them to say', () => {
  const kit = new LogHarness({ indexIntervalBytes: 300, segmentBytesMax: 5_000 }).open()
  for (let round = 0; round < 60; round++) {
    kit.append(
      ...[0, 1, 2].map(mark =>
        makeBatch({
          records: 1 + ((round + mark) % 5),
          timestampMs: 1_000 + ((round * 7919) % 60),
          mark,
        }),
      ),
    )
    if (round === 30) {
      kit.closeClean()
      kit.open()
    }
    if (round === 45) {
      kit.settle()
      kit.disk.kill()
      kit.open({ recover: true })
    }
  }
  kit.closeClean()
  const bases = kit
    .names()
    .flatMap(name => (name.endsWith('.log') ? [Number.parseInt(name, 10)] : []))
  expect(bases.length).toBeGreaterThan(3)
  let expectedOffset = 0
  for (const base of bases) {
    expect(base).toBe(expectedOffset)
    const log = kit.disk.bytesOf(kit.path(base, 'log'))
    const lastOffsets = new Map<number, number>()
    const maxima: { lastOffset: number; maxMs: number }[] = []
    let maxMs = -1
    for (let at = 0; at < log.length; at += batchBytesAt(log, at)) {
      expect(isCrcValid(log, at, batchBytesAt(log, at))).toBe(true)
      expect(leaderEpochAt(log, at)).toBe(0)
      lastOffsets.set(at, lastOffsetAt(log, at))
      if (maxTimestampAt(log, at) > maxMs) {
        maxMs = maxTimestampAt(log, at)
        maxima.push({ lastOffset: lastOffsetAt(log, at), maxMs })
      }
      expectedOffset = lastOffsetAt(log, at) + 1
    }
    const index = kit.disk.bytesOf(kit.path(base, 'index'))
    // The segment that recovery cut is shorter.
    expect(index.length).toBeGreaterThan(base === bases.at(-1) ? -1 : 8 * 3)
    for (let at = 0; at < index.length; at += 8) {
      // The last offset of the batch that lies at this position.
      expect(base + index.readInt32BE(at)).toBe(lastOffsets.get(index.readInt32BE(at + 4)))
    }
    const times = kit.disk.bytesOf(kit.path(base, 'timeindex'))
    let beforeMs = -1
    for (let at = 0; at < times.length; at += 12) {
      const timestampMs = Number(times.readBigInt64BE(at))
      expect(timestampMs).toBeGreaterThan(beforeMs)
      beforeMs = timestampMs
      // The first batch that reaches this largest time so far.
      const reached = maxima.find(maximum => maximum.maxMs >= timestampMs)
      expect(reached).toEqual({ lastOffset: base + times.readInt32BE(at + 8), maxMs: timestampMs })
    }
    // The last entry of a sealed or closed segment holds its largest time.
    expect(beforeMs).toBe(maxMs)
  }
})
