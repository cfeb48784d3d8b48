import { describe, expect, test } from 'vitest'
import { Purgatory } from '../../src/fetching/purgatory.ts'
import { OffsetTable, PartitionState } from '../../src/partitions/offset-table.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { FakeClock } from '../support/fake-clock.ts'

const slot = 3
const generation = 7

/** The dispatcher's side over a real offset table, of which the test is the owner. */
class Fixture {
  readonly table = new OffsetTable(new SharedArrayBuffer(OffsetTable.bytesFor(8, 1)), 8, 1)
  readonly clock = new FakeClock()
  readonly purgatory = new Purgatory(0, this.table, this.clock)
  /** Answers in order: `row: code`. */
  readonly answers: string[] = []

  constructor() {
    this.publish(0)
  }

  /** What an owner does. @returns whether it would send a notice */
  publish(highWatermark: number, state: number = PartitionState.online): boolean {
    this.table.publish(slot, generation, state, 0, highWatermark, 100)
    return this.table.takeWatch(slot, 0)
  }

  onDurable(row: number, errorCode: number): void {
    this.answers.push(`${row}: ${errorCode}`)
  }

  wait(endOffset: number, row: number, timeoutMs = 30_000): void {
    this.purgatory.waitDurable(slot, endOffset, timeoutMs, this, row)
  }
}

describe('acks=all', () => {
  test('is answered by the notice that passes it, in order, and asks for the next one', () => {
    const fixture = new Fixture()
    for (const [row, end] of [10, 20, 30].entries()) fixture.wait(end, row)
    expect(fixture.publish(20)).toBe(true)
    fixture.purgatory.advanced(slot)
    expect(fixture.answers).toEqual(['0: 0', '1: 0'])
    expect(fixture.publish(30)).toBe(true)
    fixture.purgatory.advanced(slot)
    expect(fixture.answers).toEqual(['0: 0', '1: 0', '2: 0'])
    expect(fixture.publish(40)).toBe(false)
  })

  test('is answered at once where the flush came first', () => {
    const fixture = new Fixture()
    fixture.publish(10)
    fixture.wait(10, 0)
    expect(fixture.answers).toEqual(['0: 0'])
  })

  test('fails at once at a log that went offline before anybody watched', () => {
    const fixture = new Fixture()
    expect(fixture.publish(10, PartitionState.offline)).toBe(false)
    fixture.wait(20, 0)
    fixture.wait(30, 1)
    const code = Errors.KAFKA_STORAGE_ERROR
    expect(fixture.answers).toEqual([`0: ${code}`, `1: ${code}`])
  })

  test('fails when the log goes offline while the notice of an advance is on its way', () => {
    const fixture = new Fixture()
    fixture.wait(10, 0)
    fixture.wait(20, 1)
    expect(fixture.publish(10)).toBe(true)
    // The watch word is taken, so this failure sends no notice of its own.
    expect(fixture.publish(10, PartitionState.offline)).toBe(false)
    fixture.purgatory.advanced(slot)
    expect(fixture.answers).toEqual(['0: 0', `1: ${Errors.KAFKA_STORAGE_ERROR}`])
    expect(fixture.publish(10, PartitionState.offline)).toBe(true)
  })

  test('of a failed partition succeeds where the flush had passed it', () => {
    const fixture = new Fixture()
    fixture.wait(10, 0)
    fixture.wait(20, 1)
    fixture.publish(10)
    fixture.purgatory.failed(slot, Errors.NOT_LEADER_OR_FOLLOWER)
    expect(fixture.answers).toEqual(['0: 0', `1: ${Errors.NOT_LEADER_OR_FOLLOWER}`])
    fixture.purgatory.failed(slot, Errors.NOT_LEADER_OR_FOLLOWER)
    expect(fixture.answers.length).toBe(2)
  })

  test('times out by itself, and those behind it go on waiting', () => {
    const fixture = new Fixture()
    fixture.wait(10, 0, 1000)
    fixture.wait(20, 1, 60_000)
    fixture.clock.advance(2000)
    fixture.purgatory.expire()
    expect(fixture.answers).toEqual([`0: ${Errors.REQUEST_TIMED_OUT}`])
    expect(fixture.publish(20)).toBe(true)
    fixture.purgatory.advanced(slot)
    expect(fixture.answers).toEqual([`0: ${Errors.REQUEST_TIMED_OUT}`, '1: 0'])
  })
})

describe('parked fetches', () => {
  test('are woken by an advance, by a failure and by a drain, each once', () => {
    const fixture = new Fixture()
    const { purgatory } = fixture
    let woken = 0
    const fetch = {
      wake: () => {
        woken++
        purgatory.unpark([slot, slot + 1], fetch)
      },
    }
    const wakers = [
      () => purgatory.advanced(slot),
      () => purgatory.failed(slot + 1, Errors.NOT_LEADER_OR_FOLLOWER),
      () => purgatory.wakeFetches(),
    ]
    for (const [i, wake] of wakers.entries()) {
      purgatory.park([slot, slot + 1], fetch)
      expect(purgatory.fetchCount).toBe(1)
      wake()
      expect(woken).toBe(i + 1)
      expect(purgatory.fetchCount).toBe(0)
      wake()
      expect(woken).toBe(i + 1)
    }
  })
})
