/** The checker itself: an honest log passes, and each kind of broken promise, planted, is found and named. */
import { describe, expect, test } from 'vitest'
import { type Death, PartitionChecker, Violation, type ViolationKind } from './checker.ts'
import { OffsetLog } from './offset-log.ts'
import { Random } from './random.ts'
import { claimedBy, isIntact, type Lane, type ReadRecord, recordOf } from './records.ts'

const laneOf = (id: number, rest: Partial<Lane> = {}): Lane => ({
  id,
  partition: 0,
  isExactlyOnce: false,
  acks: -1,
  baseTimestampMs: 1000,
  ...rest,
})

/** [lane, seq] of a record. */
type Entry = readonly [Lane, number]

function readRecord(offset: number, [lane, seq]: Entry): ReadRecord {
  const { key, value, timestampMs = -1 } = recordOf(lane, seq)
  return { offset, key, value, timestampMs }
}

/** A partition with an honest past: `stored` was sent and acknowledged, one record a batch. */
class Past {
  readonly checker: PartitionChecker
  readonly stored: Entry[] = []

  constructor(lanes: readonly Lane[], isUnflushedReadable = false) {
    this.checker = new PartitionChecker({ name: 'past-0', isUnflushedReadable })
    for (const lane of lanes) this.checker.addLane(lane)
  }

  store(...entries: readonly Entry[]): this {
    for (const [lane, seq] of entries) {
      this.checker.sent(lane, seq, 1)
      this.checker.acked(lane, seq, 1, this.stored.length)
      this.stored.push([lane, seq])
    }
    return this
  }

  /** Sent, never answered. */
  send(...entries: readonly Entry[]): this {
    for (const [lane, seq] of entries) this.checker.sent(lane, seq, 1)
    return this
  }

  /** A restart finds `log`, from offset `from` on. */
  restart(log: readonly Entry[], death: Death = 'process', from = this.checker.settled.end): this {
    const view = this.checker.view()
    for (const [i, entry] of log.entries()) this.checker.recovered(readRecord(from + i, entry))
    this.checker.endOfLog(from + log.length, 0, view, death)
    return this
  }
}

function found(work: () => unknown): ViolationKind | null {
  try {
    work()
    return null
  } catch (error) {
    if (error instanceof Violation) return error.kind
    throw error
  }
}

const a = laneOf(1)
const weak = laneOf(2, { acks: 1 })
const once = laneOf(3, { isExactlyOnce: true })
const all = [a, weak, once]
const history = (): Past => new Past(all).store([a, 0], [weak, 0], [once, 0], [a, 1])

describe('an honest log passes', () => {
  test('life after life, with records that nobody acknowledged', () => {
    const past = history().send([a, 2], [weak, 1])
    past.stored.push([a, 2])
    past
      .restart(past.stored)
      .store([once, 1])
      .restart([[once, 1]])
    expect(past.checker.settled.end).toBe(6)
  })

  test('a random one, with lost answers, repeats and restarts', () => {
    const random = new Random(5)
    const past = new Past(all)
    const next = new Map(all.map(lane => [lane, 0]))
    const log: Entry[] = []
    for (let step = 0; step < 5000; step++) {
      const lane = random.pick(all)
      const seq = next.get(lane) ?? 0
      next.set(lane, seq + 1)
      past.checker.sent(lane, seq, 1)
      // Not idempotent and lost on the way: it may be missing for good.
      const isStored = lane === once || random.chance(0.9)
      if (isStored) log.push([lane, seq])
      if (isStored && random.chance(0.8)) past.checker.acked(lane, seq, 1, log.length - 1)
      if (random.chance(0.01)) past.restart(log.slice(past.checker.settled.end))
    }
    past.restart(log.slice(past.checker.settled.end))
    for (const [offset, entry] of log.entries()) past.checker.again(readRecord(offset, entry))
    expect(past.checker.settled.end).toBe(log.length)
    expect(past.checker.checkedCount).toBe(2 * log.length)
  })

  test('a repeated batch gets the offset it had, before and after a check', () => {
    const past = history()
    past.checker.acked(once, 0, 1, 2)
    past.restart(past.stored)
    past.checker.acked(once, 0, 1, 2)
    expect(found(() => past.checker.acked(once, 0, 1, 3))).toBe('inconsistent-offset')
  })

  test('a machine that dies may take what only acks=1 has answered, and give its offsets out again', () => {
    const past = new Past(all).store([a, 0], [weak, 0], [weak, 1])
    past.restart([[a, 0]], 'machine')
    past.checker.sent(weak, 2, 1)
    past.checker.acked(weak, 2, 1, 1)
    past.restart([[weak, 2]])
    expect(past.checker.settled.end).toBe(2)
  })

  test('under flush.policy=os a machine that dies may take everything unflushed', () => {
    const past = new Past(all, true).store([a, 0], [a, 1])
    past.checker.sawOffsets(2, 0, past.checker.view())
    past.restart([[a, 0]], 'machine')
    expect(past.checker.highWatermark).toBe(1)
    expect(found(() => new Past(all, true).store([a, 0]).restart([], 'process'))).toBe('lost')
  })

  test('retention may remove what was never checked', () => {
    const past = history().send([once, 1], [once, 2], [once, 3])
    past.checker.startsAt(6)
    past.restart([[once, 3]], 'process', 6)
    expect([past.checker.settled.start, past.checker.settled.end]).toEqual([6, 7])
  })
})

describe('a broken promise is found', () => {
  const planted: [ViolationKind, string, (past: Past) => void][] = [
    ['lost', 'the last one, acks=all', past => past.restart(past.stored.slice(0, 3))],
    ['lost', 'the whole log', past => past.restart([])],
    ['lost', 'acks=all, machine dead', past => past.restart(past.stored.slice(0, 3), 'machine')],
    [
      'lost',
      'seen by a reader, machine dead',
      past => {
        past.send([weak, 1]).checker.seen(readRecord(4, [weak, 1]))
        past.restart(past.stored, 'machine')
      },
    ],
    [
      'inconsistent-offset',
      'one in the middle',
      ({ stored, checker }) => checker.recovered(readRecord(0, stored[1])),
    ],
    [
      'lost',
      'of an idempotent producer, in front of one that is there',
      past => past.send([once, 1], [once, 2]).restart([...past.stored, [once, 2]]),
    ],
    [
      'reordered',
      'found behind a later one',
      past => past.send([a, 2], [a, 3]).restart([...past.stored, [a, 3], [a, 2]]),
    ],
    [
      'reordered',
      'acknowledged at a smaller offset',
      past => {
        past.store([a, 2]).send([a, 3])
        past.checker.acked(a, 3, 1, 3)
      },
    ],
    ['duplicate', 'stored twice', past => past.restart([...past.stored, [a, 1]])],
    ['duplicate', 'idempotent', past => past.restart([...past.stored, [once, 0]])],
    [
      'duplicate',
      'of an earlier life',
      past =>
        past
          .restart(past.stored)
          .store([weak, 1])
          .restart([
            [weak, 1],
            [once, 0],
          ]),
    ],
    ['phantom', 'never sent', past => past.restart([...past.stored, [a, 2]])],
    ['phantom', 'of another topic', past => past.restart([...past.stored, [laneOf(9), 0]])],
    [
      'phantom',
      'bytes of nobody',
      ({ checker }) =>
        checker.seen({ offset: 0, key: null, value: Buffer.from('x'), timestampMs: 0 }),
    ],
    [
      'gap',
      'an offset left out',
      ({ checker, stored }) => checker.recovered(readRecord(1, stored[1])),
    ],
    [
      'inconsistent-offset',
      'a settled record changed',
      past => past.restart(past.stored).checker.again(readRecord(0, [a, 1])),
    ],
    [
      'inconsistent-offset',
      'two readers see two records',
      past => {
        past.send([a, 2], [weak, 1]).checker.seen(readRecord(4, [a, 2]))
        past.checker.seen(readRecord(4, [weak, 1]))
      },
    ],
    [
      'nonmonotonic',
      'high watermark',
      ({ checker }) => {
        checker.sawOffsets(4, 0, checker.view())
        checker.sawOffsets(3, 0, checker.view())
      },
    ],
    [
      'nonmonotonic',
      'log start',
      ({ checker }) => {
        checker.sawOffsets(4, 2, checker.view())
        checker.sawOffsets(4, 1, checker.view())
      },
    ],
    [
      'nonmonotonic',
      'high watermark after the machine died',
      past => {
        past.send([weak, 1]).checker.sawOffsets(5, 0, past.checker.view())
        past.restart(past.stored, 'machine')
      },
    ],
    [
      'false-ack',
      'acks=all in front of the flush',
      ({ checker }) => checker.sawOffsets(3, 0, checker.view()),
    ],
  ]

  test.each(planted)('%s: %s', (kind, _, plant) => {
    expect(found(() => plant(history()))).toBe(kind)
  })

  test('every bit of a record counts', () => {
    const record = readRecord(0, [a, 1])
    const value = Buffer.from(record.value ?? [])
    for (let bit = 0; bit < value.length * 8; bit++) {
      const flipped = Buffer.from(value)
      flipped[bit >> 3] ^= 1 << (bit & 7)
      expect(found(() => history().checker.seen({ ...record, value: flipped }))).toMatch(
        /^(altered|phantom)$/,
      )
    }
    expect(found(() => history().checker.seen({ ...record, key: Buffer.from('no') }))).toBe(
      'altered',
    )
    expect(found(() => history().checker.seen({ ...record, timestampMs: 7 }))).toBe('altered')
    expect(found(() => history().checker.seen({ ...record, value }))).not.toBe('altered')
  })
})

describe('its parts', () => {
  test('records name their writer and are checked to the byte', () => {
    const sizes = new Set<number>()
    for (let seq = 0; seq < 3000; seq++) {
      const record = readRecord(seq, [weak, seq])
      expect(claimedBy(record.value)).toEqual({ lane: weak.id, seq })
      expect(isIntact(record, weak, seq)).toBe(true)
      expect(isIntact(record, weak, seq + 1)).toBe(false)
      sizes.add(record.value?.length ?? 0)
    }
    expect(Math.max(...sizes)).toBeGreaterThan(1000)
    expect(claimedBy(null)).toBeNull()
    expect(claimedBy(Buffer.alloc(40))).toBeNull()
  })

  test('the log of offsets equals a plain list, however much is dropped', () => {
    const random = new Random(3)
    const log = new OffsetLog()
    const model: [number, number][] = []
    for (let i = 0; i < 20_000; i++) {
      log.push(i % 7, i)
      model.push([i % 7, i])
      if (random.chance(0.001)) log.dropBelow(random.between(log.start, log.end))
    }
    expect(log.end).toBe(model.length)
    for (let offset = log.start; offset < log.end; offset++) {
      expect([log.laneAt(offset), log.seqAt(offset)]).toEqual(model[offset])
    }
    expect(log.has(log.start - 1)).toBe(false)
    log.dropBelow(30_000)
    log.push(1, 2)
    expect([log.start, log.end, log.laneAt(30_000), log.seqAt(30_000)]).toEqual([
      30_000, 30_001, 1, 2,
    ])
  })

  test('the same seed chooses the same', () => {
    const draw = (seed: number) => {
      const random = new Random(seed)
      return Array.from({ length: 50 }, () => random.between(0, 9))
    }
    expect(draw(1)).toEqual(draw(1))
    expect(draw(1)).not.toEqual(draw(2))
    expect(new Set(draw(1)).size).toBe(10)
  })
})

describe('a compacted topic', () => {
  const lane = laneOf(41, { isKeyed: true })
  const keyOfSeq = (seq: number): string => String(recordOf(lane, seq).key)
  const seqs = Array.from({ length: 200 }, (_, seq) => seq)
  /** Two records of one key, and those that are the newest of theirs. */
  const older = seqs.find(seq =>
    seqs.some(other => other > seq && keyOfSeq(other) === keyOfSeq(seq)),
  )
  const newest = seqs.filter(
    seq => seqs.findLast(other => keyOfSeq(other) === keyOfSeq(seq)) === seq,
  )

  function compacted(): PartitionChecker {
    const checker = new PartitionChecker({
      name: 'compacted-0',
      isUnflushedReadable: false,
      isCompacted: true,
    })
    checker.addLane(lane)
    checker.sent(lane, 0, seqs.length)
    checker.acked(lane, 0, seqs.length, 0)
    return checker
  }
  const log = (kept: readonly number[]): ReadRecord[] =>
    kept.map(seq => readRecord(seq, [lane, seq]))
  const verdict = (records: ReadRecord[]): ViolationKind | null =>
    found(() => compacted().compactedLog(records, seqs.length, 'process'))

  test('may keep everything, or only the newest record of each key', () => {
    expect(older).toBeDefined()
    expect(verdict(log(seqs))).toBeNull()
    expect(verdict(log(newest))).toBeNull()
  })

  test('must not lose the newest record of a key', () => {
    expect(verdict(log(newest.slice(1)))).toBe('lost')
    expect(verdict(log(newest.slice(0, -1)))).toBe('lost')
  })

  test('keeps offsets and order', () => {
    const [first, second, ...rest] = log(newest)
    expect(verdict([second as ReadRecord, first as ReadRecord, ...rest])).toBe('reordered')
    const moved = { ...(first as ReadRecord), offset: newest[0] === 0 ? 1 : 0 }
    expect(verdict([moved, second as ReadRecord, ...rest])).toBe('inconsistent-offset')
  })
})
