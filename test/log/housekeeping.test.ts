/** The timers of an owner thread: every log gets its turn, none holds up the others, failures stay with their log. */
import { beforeEach, describe, expect, test } from 'vitest'
import { ClockTrust } from '../../workers/clock-trust.ts'
import { Housekeeping, type HousekeepingOptions, type KeptLog } from '../../workers/housekeeping.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { LogHarness, makeBatch } from './log-kit.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND

/** Counts what is asked of it; a pass takes `costMs` of the clock. */
class FakeLog implements KeptLog {
  readonly slot: number
  readonly asked: string[] = []
  costMs = 0
  sweepsLeft = 0
  error: Error | null = null
  readonly #clock: FakeClock

  constructor(slot: number, clock: FakeClock) {
    this.slot = slot
    this.#clock = clock
  }

  readonly retention = {
    isBusy: false,
    pass: (isClockTrusted: boolean): boolean => {
      this.asked.push(isClockTrusted ? 'pass' : 'pass, untrusted')
      this.#clock.monotonic += this.costMs
      this.#clock.wall += this.costMs
      if (this.error !== null) throw this.error
      return this.sweepsLeft > 0
    },
    sweep: (): boolean => {
      this.asked.push('sweep')
      return --this.sweepsLeft > 0
    },
    expireProducers: (idleMsMax: number): void => {
      this.asked.push(`expire ${idleMsMax}`)
    },
  }
}

const settings = {
  retentionCheckMs: 5 * MINUTE,
  cleanerBackoffMs: 15 * SECOND,
  producerIdleMsMax: 7,
}

let clock: FakeClock
let logs: (FakeLog | undefined)[]
let errors: string[]
let trusts: boolean[]

beforeEach(() => {
  clock = new FakeClock()
  logs = []
  errors = []
  trusts = []
})

function keep(options: Partial<HousekeepingOptions<FakeLog>> = {}): Housekeeping<FakeLog> {
  const housekeeping = new Housekeeping<FakeLog>({
    clock,
    settings,
    logs,
    trust: new ClockTrust({ clock, lastSeenWallMs: null, onPause: () => {} }),
    onTrust: isTrusted => trusts.push(isTrusted),
    onError: (log, error) => errors.push(`${log?.slot ?? '-'}: ${error.message}`),
    ...options,
  })
  housekeeping.start()
  return housekeeping
}

function addLogs(count: number): FakeLog[] {
  const added = Array.from({ length: count }, (_, slot) => new FakeLog(slot, clock))
  logs.push(...added)
  return added
}

describe('retention', () => {
  test('first after half a minute, then at every interval, for the logs there are then', () => {
    const [first] = addLogs(1)
    keep()
    clock.advance(30 * SECOND - 1)
    expect(first.asked).toEqual([])
    clock.advance(1)
    expect(first.asked).toEqual(['pass', 'expire 7'])
    logs[0] = undefined
    logs[5] = new FakeLog(5, clock)
    clock.advance(5 * MINUTE)
    expect(first.asked).toHaveLength(2)
    expect(logs[5].asked).toEqual(['pass', 'expire 7'])
  })

  test('a short interval is short from the start', () => {
    const [log] = addLogs(1)
    keep({ settings: { ...settings, retentionCheckMs: 100 } })
    clock.advance(350)
    expect(log.asked.filter(what => what === 'pass')).toHaveLength(3)
  })

  test('slow logs are taken in slices, with room for requests in between', () => {
    const slow = addLogs(6)
    for (const log of slow) log.costMs = 2
    keep()
    clock.advance(30 * SECOND)
    expect(slow.map(({ asked }) => asked.length)).toEqual([2, 2, 0, 0, 0, 0])
    // Two logs take four milliseconds, the pause one.
    clock.advance(5)
    expect(slow.map(({ asked }) => asked.length)).toEqual([2, 2, 2, 2, 0, 0])
    clock.advance(5)
    expect(slow.every(({ asked }) => asked.length === 2)).toBe(true)
    clock.advance(5 * MINUTE - 10)
    expect(slow[0].asked).toHaveLength(2)
    clock.advance(20)
    expect(slow[0].asked).toHaveLength(4)
  })

  test('logs that have something synced take turns, so that producers get theirs', () => {
    const busy = addLogs(5)
    for (const log of busy.slice(0, 3)) log.retention.isBusy = true
    keep()
    const asked = (): number => busy.filter(log => log.asked.length > 0).length
    clock.advance(30 * SECOND)
    expect(asked()).toBe(1)
    clock.advance(99)
    expect(asked()).toBe(1)
    clock.advance(1)
    expect(asked()).toBe(2)
    clock.advance(100)
    expect(asked()).toBe(3)
    clock.advance(100)
    expect(asked()).toBe(5)
  })

  test('thousands of logs that cost nothing are sliced too', () => {
    const many = addLogs(1_000)
    keep()
    clock.advance(30 * SECOND)
    expect(many.filter(({ asked }) => asked.length > 0).length).toBeLessThan(100)
    clock.advance(100)
    expect(many.every(({ asked }) => asked.length === 2)).toBe(true)
  })

  test('a log that fails is told about; the others go on, and it is asked again', () => {
    const [, bad, good] = addLogs(3)
    bad.error = new Error('EACCES')
    keep()
    clock.advance(30 * SECOND)
    expect(errors).toEqual(['1: EACCES'])
    expect(good.asked).toHaveLength(2)
    clock.advance(5 * MINUTE)
    expect(errors).toEqual(['1: EACCES', '1: EACCES'])
  })

  test('what a pass leaves is swept soon after, unless the log is gone', () => {
    const [busy, gone, idle] = addLogs(3)
    busy.sweepsLeft = 3
    gone.sweepsLeft = 3
    keep()
    clock.advance(30 * SECOND)
    logs[1] = new FakeLog(1, clock)
    clock.advance(SECOND)
    expect(busy.asked).toEqual(['pass', 'expire 7', 'sweep', 'sweep', 'sweep'])
    expect(gone.asked).toEqual(['pass', 'expire 7'])
    expect(idle.asked).toEqual(['pass', 'expire 7'])
  })

  test('a clock that jumps is noticed before anything is deleted by it', () => {
    const [log] = addLogs(1)
    keep()
    clock.advance(30 * SECOND)
    clock.wall += 10 * 365 * 24 * 60 * MINUTE
    clock.advance(5 * MINUTE)
    clock.advance(10 * MINUTE)
    expect(log.asked.filter(what => what.startsWith('pass'))).toEqual([
      'pass',
      'pass, untrusted',
      'pass, untrusted',
      'pass',
    ])
    expect(trusts).toEqual([true, false, false, true])
  })
})

describe('compaction', () => {
  test('begins anew a back-off after its end, whether it went well or not', async () => {
    const ends: ((error?: Error) => void)[] = []
    const compactPass = (): Promise<void> =>
      new Promise((resolve, reject) => {
        ends.push(error => (error === undefined ? resolve() : reject(error)))
      })
    keep({ compactPass })
    clock.advance(15 * SECOND)
    expect(ends).toHaveLength(1)
    clock.advance(MINUTE)
    expect(ends).toHaveLength(1)
    ends[0]()
    await Promise.resolve()
      .then(() => {})
      .then(() => {})
    clock.advance(15 * SECOND)
    expect(ends).toHaveLength(2)
    ends[1](new Error('no memory'))
    await new Promise(resolve => setImmediate(resolve))
    expect(errors).toEqual(['-: no memory'])
    clock.advance(15 * SECOND)
    expect(ends).toHaveLength(3)
  })
})

test('stopped, nothing happens any more, and no timer is left', () => {
  const [log] = addLogs(1)
  log.sweepsLeft = 9
  const chore = {
    running: false,
    start() {
      this.running = true
    },
    stop() {
      this.running = false
    },
  }
  const housekeeping = keep({ compactPass: () => Promise.resolve(), chores: [chore] })
  expect(chore.running).toBe(true)
  clock.advance(30 * SECOND)
  housekeeping.stop()
  expect(chore.running).toBe(false)
  expect(clock.timerCount).toBe(0)
  const { length } = log.asked
  clock.advance(60 * MINUTE)
  expect(log.asked).toHaveLength(length)
})

test('with real logs: what is old goes, what is not stays, on one clock', () => {
  const hour = 60 * MINUTE
  const old = new LogHarness({ segmentBytesMax: 200, retentionMs: hour }).open()
  const kept = new LogHarness({ segmentBytesMax: 200 }).open()
  const { clock } = old
  for (const kit of [old, kept]) {
    for (let mark = 0; mark < 5; mark++) kit.append(makeBatch({ mark }))
    kit.settle()
  }
  const housekeeping = new Housekeeping({
    clock,
    settings,
    logs: [old.log, undefined, kept.log],
    trust: new ClockTrust({ clock, lastSeenWallMs: null, onPause: () => {} }),
    onTrust: () => {},
    onError: (_, error) => errors.push(error.message),
  })
  housekeeping.start()
  for (let minute = 0; minute < 100; minute++) {
    clock.advance(MINUTE)
    old.settle()
    if (clock.monotonic < hour) expect(old.log.offsets.logStart).toBe(0)
  }
  housekeeping.stop()
  expect(errors).toEqual([])
  expect(old.log.offsets).toMatchObject({ logStart: 5, logEnd: 5 })
  expect(old.log.segments).toHaveLength(1)
  expect(kept.log.segments).toHaveLength(3)
})
