/** Random operations on a log, compared with an array of batches. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { FlushPolicy } from '../../src/contracts/log-config.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { expectSame, LogHarness, makeBatch, splitBatches, stored } from './log-kit.ts'

type Step =
  | { readonly kind: 'append'; readonly sizes: readonly (readonly [number, number])[] }
  | { readonly kind: 'settle' }
  | {
      readonly kind: 'read'
      readonly at: number
      readonly maxBytes: number
      readonly extra: number
    }
  | { readonly kind: 'restart'; readonly clean: boolean }
  | { readonly kind: 'wait'; readonly ms: number }

const size: fc.Arbitrary<readonly [records: number, valueBytes: number]> = fc.oneof(
  fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 200 })),
  fc.constant([1, 20_000] as const),
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('append' as const),
      sizes: fc.array(size, { minLength: 1, maxLength: 6 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('settle' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('read' as const),
      at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      maxBytes: fc.integer({ min: 0, max: 5_000 }),
      extra: fc.integer({ min: 0, max: 9_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('restart' as const), clean: fc.boolean() }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.integer({ min: 1, max: 8_000 }),
    }),
  },
)

interface Stored {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly bytes: Buffer
}

class Run {
  readonly kit: LogHarness
  readonly model: Stored[] = []
  highWatermark = 0
  mark = 0

  constructor(flushPolicy: FlushPolicy, segmentBytesMax: number, indexIntervalBytes: number) {
    this.kit = new LogHarness({
      flushPolicy,
      flushMs: 3_000,
      segmentBytesMax,
      indexIntervalBytes,
      segmentAgeMsMax: 20_000,
    }).open()
  }

  get end(): number {
    return (this.model.at(-1)?.lastOffset ?? -1) + 1
  }

  step(step: Step): void {
    if (step.kind === 'append') this.append(step.sizes)
    else if (step.kind === 'settle') this.kit.settle()
    else if (step.kind === 'wait') this.kit.clock.advance(step.ms)
    else if (step.kind === 'restart') this.restart(step.clean)
    else this.read(Math.floor(step.at * (this.end + 1)), step.maxBytes, step.extra)
  }

  append(sizes: readonly (readonly [number, number])[]): void {
    const batches = sizes.map(([records, valueBytes]) =>
      makeBatch({ records, valueBytes, mark: this.mark++, timestampMs: 1_000 + this.mark * 7 }),
    )
    const copies = batches.map(batch => Buffer.from(batch))
    for (const [index, result] of this.kit.append(...batches).entries()) {
      const [records] = sizes[index]
      expect(result).toMatchObject({ error: Errors.NONE, baseOffset: this.end, duplicate: false })
      expect(result.lastOffset).toBe(this.end + records - 1)
      const bytes = stored(copies[index], this.end)
      this.model.push({ baseOffset: this.end, lastOffset: result.lastOffset, bytes })
    }
  }

  restart(clean: boolean): void {
    if (clean) expect(this.kit.closeClean()).toBe(true)
    else this.kit.disk.kill()
    this.kit.open({ recover: !clean })
    // Nobody lost anything: only the process ended.
    expect(this.kit.log.offsets.logEnd).toBe(this.end)
    expect(this.kit.log.offsets.highWatermark).toBe(this.end)
  }

  read(fetchOffset: number, maxBytes: number, extra: number): void {
    const { log } = this.kit
    const { highWatermark } = log.offsets
    const region = Buffer.alloc(maxBytes + extra)
    const result = newReadResult()
    log.read(fetchOffset, maxBytes, region, result)
    expect(result.error).toBe(Errors.NONE)
    const first = this.model.findIndex(batch => batch.lastOffset >= fetchOffset)
    if (fetchOffset >= highWatermark) {
      expect(result).toMatchObject({ length: 0, neededBytes: 0, nextOffset: fetchOffset })
      return
    }
    const wanted = this.model[first]
    if (wanted.bytes.length > maxBytes) {
      expect(result).toMatchObject({ length: 0, neededBytes: wanted.bytes.length })
      return
    }
    expect(result.length).toBeLessThanOrEqual(maxBytes)
    const got = splitBatches(region.subarray(result.start, result.start + result.length))
    expect(got.length).toBeGreaterThan(0)
    const expected = this.model.slice(first, first + got.length)
    expectSame(
      got,
      expected.map(({ bytes }) => bytes),
    )
    expect(result.nextOffset).toBe(expected.at(-1)!.lastOffset + 1)
    expect(result.nextOffset).toBeLessThanOrEqual(highWatermark)
  }

  check(): void {
    const { offsets } = this.kit.log
    expect(offsets.logEnd).toBe(this.end)
    expect(offsets.highWatermark).toBeGreaterThanOrEqual(this.highWatermark)
    this.highWatermark = offsets.highWatermark
    expect(this.kit.failures).toEqual([])
  }
}

test.each<FlushPolicy>(['group-commit', 'interval', 'os'])(
  'a log under %s behaves like an array of batches',
  flushPolicy => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 5, maxLength: 60 }),
        fc.constantFrom(25_000, 50_000, 1_000_000),
        fc.constantFrom(0, 300, 4_096),
        (steps, segmentBytesMax, indexIntervalBytes) => {
          const run = new Run(flushPolicy, segmentBytesMax, indexIntervalBytes)
          for (const step of steps) {
            run.step(step)
            run.check()
          }
          run.restart(false)
          expectSame(
            run.kit.readAll(),
            run.model.map(({ bytes }) => bytes),
          )
        },
      ),
      { numRuns: 150 },
    )
  },
)
