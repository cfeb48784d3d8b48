import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import {
  decodeSnapshot,
  decodeWindow,
  encodeSnapshot,
  encodeWindow,
} from '../../workers/log/producer-files.ts'
import { ProducerEntry, ProducerState, sequenceAfter } from '../../workers/log/producer-state.ts'
import { directory, LogHarness, makeBatch } from './log-kit.ts'

const SEQUENCE_MAX = 2 ** 31 - 1

interface Sent {
  readonly producerId?: number
  readonly epoch?: number
  readonly sequence: number
  readonly records?: number
}

const batchOf = ({ producerId = 5, epoch = 0, sequence, records = 1 }: Sent): Buffer =>
  makeBatch({ producerId, producerEpoch: epoch, baseSequence: sequence, records })

function started(): LogHarness {
  return new LogHarness().open()
}

/** Error, base offset and duplicate flag of appending one batch. */
function send(kit: LogHarness, sent: Sent): (number | boolean)[] {
  const [{ error, baseOffset, lastOffset, duplicate }] = kit.append(batchOf(sent))
  return error === 0 ? [baseOffset, lastOffset, duplicate] : [error]
}

describe('sequences', () => {
  test('any of the last five batches sent again gets its first offsets, nothing is written', () => {
    const kit = started()
    for (let batch = 0; batch < 7; batch++) send(kit, { sequence: batch * 3, records: 3 })
    const { logEnd } = kit.log.offsets
    for (let batch = 2; batch < 7; batch++) {
      expect(send(kit, { sequence: batch * 3, records: 3 })).toEqual([
        batch * 3,
        batch * 3 + 2,
        true,
      ])
    }
    expect(kit.log.offsets.logEnd).toBe(logEnd)
    // The sixth last is forgotten.
    expect(send(kit, { sequence: 3, records: 3 })).toEqual([Errors.OUT_OF_ORDER_SEQUENCE_NUMBER])
  })

  test('a duplicate is recognised within the round of its original', () => {
    const kit = started()
    const first = kit.stage(batchOf({ sequence: 0 }))
    const second = kit.stage(batchOf({ sequence: 0 }))
    expect([first.duplicate, second.duplicate]).toEqual([false, true])
    expect(second.baseOffset).toBe(first.baseOffset)
    kit.log.commit()
    expect(kit.log.offsets.logEnd).toBe(1)
  })

  test('the same first sequence with another length is no duplicate', () => {
    const kit = started()
    send(kit, { sequence: 0, records: 3 })
    expect(send(kit, { sequence: 0, records: 2 })).toEqual([Errors.OUT_OF_ORDER_SEQUENCE_NUMBER])
  })

  test('a gap is refused and leaves no trace', () => {
    const kit = started()
    send(kit, { sequence: 0 })
    expect(send(kit, { sequence: 2 })).toEqual([Errors.OUT_OF_ORDER_SEQUENCE_NUMBER])
    expect(send(kit, { sequence: 1 })).toEqual([1, 1, false])
  })

  test('an unknown producer may start anywhere', () => {
    expect(send(started(), { sequence: 1_000 })).toEqual([0, 0, false])
  })

  test('sequences wrap from 2147483647 to 0, also within a batch', () => {
    const kit = started()
    expect(send(kit, { sequence: SEQUENCE_MAX - 2, records: 2 })).toEqual([0, 1, false])
    expect(send(kit, { sequence: SEQUENCE_MAX, records: 3 })).toEqual([2, 4, false])
    expect(send(kit, { sequence: SEQUENCE_MAX, records: 3 })).toEqual([2, 4, true])
    expect(send(kit, { sequence: 2 })).toEqual([5, 5, false])
    expect(sequenceAfter(SEQUENCE_MAX, 1)).toBe(0)
  })

  test('a higher epoch starts at 0 and forgets the batches of the old one', () => {
    const kit = started()
    send(kit, { sequence: 0 })
    send(kit, { sequence: 1 })
    expect(send(kit, { epoch: 1, sequence: 2 })).toEqual([Errors.OUT_OF_ORDER_SEQUENCE_NUMBER])
    expect(send(kit, { epoch: 1, sequence: 0 })).toEqual([2, 2, false])
    expect(send(kit, { epoch: 1, sequence: 0 })).toEqual([2, 2, true])
    expect(send(kit, { epoch: 0, sequence: 2 })).toEqual([Errors.INVALID_PRODUCER_EPOCH])
  })

  test('producers do not disturb each other, and batches without an id are not counted', () => {
    const kit = started()
    send(kit, { producerId: 1, sequence: 0 })
    send(kit, { producerId: 2, sequence: 0 })
    kit.append(makeBatch(), makeBatch())
    expect(send(kit, { producerId: 1, sequence: 1 })).toEqual([4, 4, false])
    expect(send(kit, { producerId: 2, sequence: 0 })).toEqual([1, 1, true])
  })

  test('under LogAppendTime a duplicate is answered with the time of its original', () => {
    const kit = new LogHarness({ timestampType: 'LogAppendTime' }).open()
    const [first] = kit.append(batchOf({ sequence: 0 }))
    kit.clock.advance(5_000)
    const [again] = kit.append(batchOf({ sequence: 0 }))
    expect(again).toMatchObject({ duplicate: true, logAppendTimeMs: first.logAppendTimeMs })
  })
})

describe('across restarts', () => {
  const restarts: [string, (kit: LogHarness) => void][] = [
    ['a clean stop', kit => expect(kit.closeClean()).toBe(true)],
    ['a crash of the process', kit => kit.disk.kill()],
    [
      'a crash after a checkpoint',
      kit => {
        kit.settle()
        kit.clock.advance(6_000)
        kit.append(batchOf({ producerId: 9, sequence: 0 }))
        kit.settle()
        kit.disk.kill()
      },
    ],
    [
      'a clean stop whose window file was lost',
      kit => {
        kit.closeClean()
        for (const name of kit.names().filter(name => name.endsWith('.window'))) {
          kit.disk.unlink(`/data/t-0/${name}`)
        }
      },
    ],
    [
      'a clean stop whose window file was damaged',
      kit => {
        kit.closeClean()
        for (const name of kit.names().filter(name => name.endsWith('.window'))) {
          const bytes = kit.disk.bytesOf(`/data/t-0/${name}`)
          bytes[bytes.length - 5] ^= 0xff
          kit.disk.setBytes(`/data/t-0/${name}`, bytes)
        }
      },
    ],
  ]
  test.each(restarts)('the five-batch window survives %s', (name, stop) => {
    const kit = new LogHarness({ segmentBytesMax: 700 }).open()
    for (let batch = 0; batch < 9; batch++) send(kit, { sequence: batch * 2, records: 2 })
    stop(kit)
    kit.open({ recover: name.includes('crash') })
    for (let batch = 4; batch < 9; batch++) {
      const [base, , duplicate] = send(kit, { sequence: batch * 2, records: 2 })
      expect([base, duplicate]).toEqual([batch * 2, true])
    }
    expect(send(kit, { sequence: 6, records: 2 })).toEqual([Errors.OUT_OF_ORDER_SEQUENCE_NUMBER])
    expect(send(kit, { sequence: 18 })[2]).toBe(false)
  })

  test('a batch that the crash took is not taken for a duplicate', () => {
    const kit = started()
    for (let sequence = 0; sequence < 3; sequence++) send(kit, { sequence })
    kit.settle()
    // Due for a checkpoint, which must not know more than the flush that it waits for.
    kit.clock.advance(6_000)
    send(kit, { sequence: 3 })
    kit.disk.completeSyncs(1)
    send(kit, { sequence: 4 })
    kit.disk.powerCut(() => 0.1)
    kit.open({ recover: true })
    const { logEnd } = kit.log.offsets
    expect(logEnd).toBe(4)
    expect(send(kit, { sequence: 4 })).toEqual([4, 4, false])
  })

  test('producers idle for a day are forgotten', () => {
    const kit = started()
    send(kit, { producerId: 1, sequence: 0 })
    kit.settle()
    kit.clock.advance(24 * 3_600_000)
    expect(send(kit, { producerId: 1, sequence: 0 })[2]).toBe(true)
    send(kit, { producerId: 2, sequence: 0 })
    kit.settle()
    kit.clock.advance(10_000)
    kit.log.retention.expireProducers(24 * 3_600_000)
    expect(send(kit, { producerId: 1, sequence: 7 })[2]).toBe(false)
    expect(send(kit, { producerId: 2, sequence: 0 })[2]).toBe(true)
  })
})

describe('files', () => {
  const batches = fc.array(
    fc.record({
      producerId: fc.integer({ min: 0, max: 3 }).map(id => id * 10 ** 12),
      records: fc.integer({ min: 1, max: 4 }),
    }),
    { maxLength: 30 },
  )

  function stateOf(sent: readonly { producerId: number; records: number }[]): ProducerState {
    const state = new ProducerState()
    const next = new Map<number, number>()
    let offset = 0
    for (const { producerId, records } of sent) {
      const sequence = next.get(producerId) ?? SEQUENCE_MAX - 3
      const batch = batchOf({ producerId, sequence, records, epoch: 3 })
      state.append(batch, 0, offset, 1_234_567)
      next.set(producerId, sequenceAfter(sequence, records))
      offset += records
    }
    state.confirm()
    return state
  }

  test('a window file brings back the whole state; any damage is noticed', () => {
    fc.assert(
      fc.property(batches, fc.nat(), fc.integer({ min: 1, max: 255 }), (sent, at, flip) => {
        const state = stateOf(sent)
        const bytes = encodeWindow(state, 10 ** 10)
        const again = decodeWindow(bytes, 10 ** 10)
        expect(encodeWindow(again!, 10 ** 10).equals(bytes)).toBe(true)
        expect(decodeWindow(bytes, 10 ** 10 + 1)).toBe(null)
        const damaged = Buffer.from(bytes)
        damaged[at % bytes.length] ^= flip
        expect(decodeWindow(damaged, 10 ** 10)).toBe(null)
        expect(decodeWindow(bytes.subarray(0, at % bytes.length), 10 ** 10)).toBe(null)
      }),
    )
  })

  test("a snapshot is Kafka's, byte for byte", () => {
    const state = new ProducerState()
    const batch = makeBatch({
      producerId: 4_000,
      producerEpoch: 2,
      baseSequence: 7,
      records: 3,
      timestampMs: 1_700_000_000_000,
    })
    state.append(batch, 0, 100, 1)
    // version, crc, count | id, epoch, last sequence, last offset, delta, timestamp, coordinator epoch, transaction
    expect(encodeSnapshot(state).toString('hex')).toBe(
      '0001' +
        'e195e389' +
        '00000001' +
        '0000000000000fa0' +
        '0002' +
        '00000009' +
        '0000000000000066' +
        '00000002' +
        '0000018bcfe56800' +
        'ffffffff' +
        'ffffffffffffffff',
    )
  })

  test('a snapshot gives the last batch of each producer', () => {
    fc.assert(
      fc.property(batches, sent => {
        const state = stateOf(sent)
        const again = decodeSnapshot(encodeSnapshot(state), 99)!
        expect([...again.entries.keys()]).toEqual([...state.entries.keys()])
        for (const [producerId, entry] of again.entries) {
          const original = state.entries.get(producerId)!
          expect([entry.epoch, entry.count, entry.lastUsedMs]).toEqual([original.epoch, 1, 99])
          expect(entry.firstSequence(0)).toBe(original.firstSequence(0))
          expect(entry.lastSequence(0)).toBe(original.lastSequence(0))
          expect(entry.baseOffset(0)).toBe(original.baseOffset(0))
        }
      }),
    )
  })

  test('an epoch without a batch, as the end of a transaction leaves it, fences older ones', () => {
    const kit = started()
    send(kit, { sequence: 0, epoch: 3 })
    kit.settle()
    kit.closeClean()
    const state = new ProducerState()
    const entry = new ProducerEntry()
    entry.epoch = 7
    state.entries.set(5, entry)
    const bytes = encodeSnapshot(state)
    expect(bytes.readInt32BE(20), 'last sequence').toBe(-1)
    expect(decodeSnapshot(bytes, 99)?.entries.get(5)).toMatchObject({ epoch: 7, count: 0 })
    // As Kafka leaves the directory: no window files.
    for (const name of kit.names().filter(other => /window|snapshot/.test(other))) {
      kit.disk.unlink(`${directory}/${name}`)
    }
    kit.disk.setBytes(kit.path(1, 'snapshot'), bytes)
    kit.open()
    expect(send(kit, { sequence: 1, epoch: 3 })).toEqual([Errors.INVALID_PRODUCER_EPOCH])
    expect(send(kit, { sequence: 0, epoch: 6 })).toEqual([Errors.INVALID_PRODUCER_EPOCH])
    expect(send(kit, { sequence: 4, epoch: 7 })).toEqual([Errors.OUT_OF_ORDER_SEQUENCE_NUMBER])
    expect(send(kit, { sequence: 0, epoch: 7 })).toEqual([1, 1, false])
  })
})
