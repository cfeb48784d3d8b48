/** Tails over a log in memory, under clients that read, stop reading and come back at random. */
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { tailDefaults } from '../../../src/config/tail-settings.ts'
import type { TailKind } from '../../../src/http/tail/chunk.ts'
import type { Tail } from '../../../src/http/tail/tail.ts'
import { TailHub } from '../../../src/http/tail/tail-hub.ts'
import type { TailSink } from '../../../src/http/tail/tail-sink.ts'
import { createLogger } from '../../../src/log.ts'
import { labelled, ThreadMetrics } from '../../../src/metrics.ts'
import { MemoryLog } from './memory-backend.ts'

/** A client that takes bytes when it is told to. */
class TestSink implements TailSink {
  readonly kind: TailKind
  readonly isAlive = true
  waitingBytes = 0
  waitingMax = 0
  isReading = true
  ended: string | null = null
  #bytes: Buffer[] = []
  #drained = () => {}
  #closed = () => {}

  constructor(kind: TailKind) {
    this.kind = kind
  }

  write(bytes: Buffer): void {
    this.#bytes.push(bytes)
    if (this.isReading) return
    this.waitingBytes += bytes.length
    this.waitingMax = Math.max(this.waitingMax, this.waitingBytes)
  }

  read(isReading: boolean): void {
    this.isReading = isReading
    if (!isReading || this.waitingBytes === 0) return
    this.waitingBytes = 0
    this.#drained()
  }

  end(reason: string): void {
    this.ended = reason
  }

  destroy(): void {
    this.#closed()
  }

  tell(drained: () => void, closed: () => void): void {
    this.#drained = drained
    this.#closed = closed
  }

  cork(): void {}
  uncork(): void {}
  ping(): void {}

  /** Events as objects with their name. */
  events(): Record<string, unknown>[] {
    const bytes = Buffer.concat(this.#bytes)
    return this.kind === 'sse' ? streamEvents(bytes) : frameEvents(bytes)
  }
}

function streamEvents(bytes: Buffer): Record<string, unknown>[] {
  const blocks = bytes.toString().split('\n\n').slice(0, -1)
  return blocks.map(block => {
    const event = /^event: (.*)$/m.exec(block)?.[1] ?? 'record'
    const position = /^id: (.*)$/m.exec(block)?.[1]
    return { event, position, ...JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? '') }
  })
}

function frameEvents(bytes: Buffer): Record<string, unknown>[] {
  const events: Record<string, unknown>[] = []
  let pos = 0
  while (pos < bytes.length) {
    expect(bytes[pos]).toBe(0x81)
    const short = bytes[pos + 1]
    const lengthBytes = short === 127 ? 8 : short === 126 ? 2 : 0
    const length = lengthBytes === 0 ? short : readLength(bytes, pos + 2, lengthBytes)
    const start = pos + 2 + lengthBytes
    pos = start + length
    events.push(JSON.parse(bytes.toString('utf8', start, pos)))
  }
  return events
}

const readLength = (bytes: Buffer, pos: number, count: number): number =>
  count === 2 ? bytes.readUInt16BE(pos) : Number(bytes.readBigUInt64BE(pos))

interface Opened {
  readonly tail: Tail
  readonly sink: TestSink
  readonly begin: readonly number[]
}

function setUp(partitions: number, config: Partial<typeof tailDefaults> = {}) {
  const log = new MemoryLog(partitions)
  const metrics = new ThreadMetrics(new SharedArrayBuffer(ThreadMetrics.bytesFor(3)), 0)
  const hub = new TailHub({
    backend: log.backend,
    metrics,
    log: createLogger({ level: 'silent' }),
    config: { ...tailDefaults, heartbeatMs: 100, ...config },
  })
  const opened: Opened[] = []
  const open = (kind: TailKind, begin: readonly number[], isReading = true): Opened => {
    const sink = new TestSink(kind)
    sink.isReading = isReading
    const all = log.logs.map((_, index) => index)
    const shape = { topic: 't', topicId: 'id', encoding: 'utf8', kind, isWholeTopic: true } as const
    const tail = hub.open(sink, { ...shape, partitions: all, positions: [...begin], notices: [] })
    opened.push({ tail, sink, begin: [...begin] })
    return { tail, sink, begin }
  }
  const close = () => {
    for (const { sink } of opened) sink.destroy()
  }
  onTestFinished(close)
  return { log, hub, metrics, open, opened, close }
}

/** What the client of a tail that began at `begin` makes of its events: every offset once, in order, or told lost. */
function positionsAfter({ sink, begin }: Opened, partitions: number): number[] {
  const positions = Array.from({ length: partitions }, (_, slot) => begin[slot] ?? 0)
  for (const { event, partition, offset, value, from, to, position } of sink.events()) {
    const slot = partition as number
    if (event === 'record') {
      expect(Number(offset)).toBe(positions[slot])
      expect(String(value).replace(/\.*$/, '')).toBe(`${slot}:${offset}`)
      positions[slot]++
    } else if (event === 'lost') {
      expect(Number(from)).toBe(positions[slot])
      positions[slot] = Number(to)
    }
    const told = new Map(
      String(position)
        .split(',')
        .map(pair => pair.split(':').map(Number) as [number, number]),
    )
    for (const [index, at] of told) expect(at).toBe(positions[index])
  }
  return positions
}

const command = fc.oneof(
  fc.record({
    do: fc.constant('append' as const),
    at: fc.nat(2),
    count: fc.integer({ min: 1, max: 30 }),
    size: fc.constantFrom(0, 50, 9_000),
  }),
  fc.record({
    do: fc.constant('open' as const),
    kind: fc.constantFrom<TailKind>('sse', 'websocket'),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ do: fc.constant('read' as const), at: fc.nat(9), isReading: fc.boolean() }),
  fc.record({
    do: fc.constant('grant' as const),
    at: fc.nat(9),
    credit: fc.integer({ min: 1, max: 40 }),
  }),
  fc.record({
    do: fc.constant('delete' as const),
    at: fc.nat(2),
    share: fc.double({ min: 0, max: 0.5, noNaN: true }),
  }),
  fc.record({ do: fc.constant('turn' as const), turns: fc.integer({ min: 1, max: 4 }) }),
)

describe('whatever clients do', () => {
  test('each tail gets every record behind its position once and in order, or is told that it is lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 10, maxLength: 60 }), async commands => {
        const { log, opened, open, close } = setUp(3, { backlogBytes: 20_000, readsMax: 2 })
        for (const step of commands) {
          if (step.do === 'append') log.append(step.at, step.count, step.size)
          else if (step.do === 'open') {
            open(
              step.kind,
              log.logs.map(
                ({ logStart, end }) => logStart + Math.floor((end - logStart) * step.share),
              ),
            )
          } else if (step.do === 'read') opened.at(step.at - 10)?.sink.read(step.isReading)
          else if (step.do === 'grant') {
            const { tail, sink } = opened.at(step.at - 10) ?? {}
            if (sink?.kind === 'websocket') tail?.grant(step.credit)
          } else if (step.do === 'delete') {
            const { logStart, end } = log.logs[step.at]
            log.deleteBefore(step.at, logStart + Math.floor((end - logStart) * step.share))
          } else {
            for (let i = 0; i < step.turns; i++) await new Promise(resolve => setImmediate(resolve))
          }
        }
        for (const { tail, sink } of opened) {
          sink.read(true)
          if (sink.kind === 'websocket') tail.grant(1_000_000)
        }
        const ends = log.logs.map(({ end }) => end)
        for (const one of opened) {
          await expect
            .poll(() => one.tail.positions, { timeout: 10_000, interval: 2 })
            .toEqual(ends)
          expect(positionsAfter(one, 3)).toEqual(ends)
        }
        expect(log.readingMax).toBeLessThanOrEqual(2 + 2)
        await expect.poll(() => log.reading).toBe(0)
        close()
      }),
      { numRuns: 60, interruptAfterTimeLimit: 40_000 },
    )
  }, 90_000)
})

// http.tail.backlog.bytes and http.tails.backlog.bytes.
test('a client is sent no more than its bound and a chunk, all together no more than theirs', async () => {
  const { log, hub, open } = setUp(1, { backlogBytes: 100_000, totalBacklogBytes: 250_000 })
  const clients = Array.from({ length: 6 }, () => open('sse', [0], false))
  for (let i = 0; i < 200; i++) log.append(0, 1, 10_000)
  await expect.poll(() => hub.waitingBytes).toBeGreaterThanOrEqual(250_000)
  // Who reads what it is sent is not held up by those who do not.
  const reading = open('sse', [0])
  await expect.poll(() => reading.tail.positions, { timeout: 10_000 }).toEqual([200])
  const chunk = 80_000
  for (const { sink } of clients) expect(sink.waitingMax).toBeLessThanOrEqual(100_000 + chunk)
  expect(hub.waitingBytes).toBeLessThanOrEqual(250_000 + 6 * chunk)
  for (const { sink } of clients) sink.read(true)
  for (const client of clients) {
    await expect.poll(() => client.tail.positions, { timeout: 10_000 }).toEqual([200])
    expect(positionsAfter(client, 1)).toEqual([200])
  }
  await expect.poll(() => hub.waitingBytes).toBe(0)
})

test('a partition that cannot be read is told once, the others go on, and it goes on when it is back', async () => {
  const { log, open } = setUp(2)
  const client = open('sse', [0, 0])
  log.append(0, 1)
  await expect.poll(() => client.tail.positions).toEqual([1, 0])
  log.setOffline(0, true)
  await expect.poll(() => client.sink.events().at(-1)?.event).toBe('unavailable')
  log.append(1, 2)
  await expect.poll(() => client.tail.positions).toEqual([1, 2])
  const behind = open('sse', [0, 0])
  await expect.poll(() => behind.tail.positions[1]).toBe(2)
  const told = ({ sink }: Opened) =>
    sink.events().filter(({ event, partition }) => event === 'unavailable' && partition === 0)
  await expect.poll(() => told(behind).length).toBe(1)
  log.append(0, 3)
  log.setOffline(0, false)
  for (const one of [client, behind]) {
    await expect.poll(() => one.tail.positions).toEqual([4, 2])
    expect(positionsAfter(one, 2)).toEqual([4, 2])
    expect(told(one)).toHaveLength(1)
  }
})

test('partitions that are added are followed from their beginning by all, also by those that stand still', async () => {
  const { log, open } = setUp(1)
  log.append(0, 5)
  const quick = open('sse', [5])
  const paused = open('websocket', [2])
  log.addPartition()
  log.append(1, 4)
  await expect.poll(() => quick.tail.positions).toEqual([5, 4])
  paused.tail.grant(1000)
  const late = open('sse', [5, 3])
  for (const one of [quick, paused, late]) {
    await expect.poll(() => one.tail.positions).toEqual([5, 4])
    expect(positionsAfter(one, 2)).toEqual([5, 4])
  }
})

test('many tails cost one read for an append', async () => {
  const { log, metrics, open } = setUp(1)
  const clients = Array.from({ length: 500 }, () => open('sse', [0]))
  for (let i = 1; i <= 10; i++) {
    log.append(0, 20)
    await expect.poll(() => clients.every(({ tail }) => tail.positions[0] === i * 20)).toBe(true)
  }
  expect(log.reads).toBe(10)
  expect(metrics.get(labelled('tailReads', 'shared'))).toBe(10)
})
