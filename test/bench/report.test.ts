/** The arithmetic of the bench: medians, paired ratios, tables, options. */
import { expect, test } from 'vitest'
import {
  atLeast,
  atMost,
  formatNumber,
  formatSpread,
  markdownTable,
  pairedRatios,
  percentile,
  spread,
} from '../../bench/report.ts'
import { parseWireOptions, UsageError } from '../../bench/wire-options.ts'

const memoryBytes = 16e9

test('a spread is median, minimum and maximum, without runs that failed', () => {
  expect(spread([5, 1, 3])).toMatchObject({ median: 3, min: 1, max: 5 })
  expect(spread([5, 1, 3, 100])).toMatchObject({ median: 4, min: 1, max: 100 })
  expect(spread([5, Number.NaN, 1])).toMatchObject({ median: 3, min: 1, max: 5 })
  expect(spread([]).median).toBeNaN()
})

test('a percentile is the value below which that share lies', () => {
  const samples = Array.from({ length: 200 }, (_, at) => 200 - at)
  expect(percentile(samples, 0.5)).toBe(101)
  expect(percentile(samples, 0.99)).toBe(199)
  expect(percentile([], 0.5)).toBeNaN()
})

test('ratios pair run with run, so a drift that hits both cancels', () => {
  const floor = [100, 50, 200]
  expect(pairedRatios([90, 45, 180], floor)).toEqual([0.9, 0.9, 0.9])
  expect(pairedRatios([90, Number.NaN, 180], floor)[1]).toBeNaN()
})

test('a verdict is 1 or more when its target is met, whichever way the bound goes', () => {
  expect(atLeast('speed', 0.9, 0.8, 'x').ratio).toBeGreaterThan(1)
  expect(atLeast('speed', 0.7, 0.8, 'x').ratio).toBeLessThan(1)
  expect(atMost('memory', 90, 100, 'MB').ratio).toBeGreaterThan(1)
  expect(atMost('memory', 110, 100, 'MB').ratio).toBeLessThan(1)
})

test('numbers and tables are printed for readers', () => {
  expect(formatNumber(1_234_567)).toBe('1,234,600')
  expect(formatNumber(314.15)).toBe('314')
  expect(formatNumber(0.1234)).toBe('0.123')
  expect(formatNumber(Number.NaN)).toBe('–')
  expect(formatSpread(spread([1, 2, 3]), ' ms')).toBe('2.00 ms (1.00–3.00)')
  expect(formatSpread(spread([2]))).toBe('2.00')
  expect(markdownTable(['a', 'b'], [['long cell', '1']])).toBe(
    '| a         | b   |\n|-----------|-----|\n| long cell | 1   |',
  )
})

test('options have defaults, and --quick shorter ones', () => {
  const options = parseWireOptions([], memoryBytes)!
  expect(options).toMatchObject({ seconds: 5, repeatCount: 3, batches: [1, 50, 1000] })
  expect(options.acks).toEqual([0, 1, -1])
  const quick = parseWireOptions(['--quick', '--repeat', '1'], memoryBytes)!
  expect(quick).toMatchObject({ seconds: 2, repeatCount: 1 })
  expect(parseWireOptions(['--help'], memoryBytes)).toBeNull()
})

test('what is passed on to odradek keeps its order', () => {
  const options = parseWireOptions(['--set', 'a=1', '--workers', '2', '--set', 'b=2'], memoryBytes)!
  expect(options.odradekArguments).toEqual(['--workers', '2', '--set', 'a=1', '--set', 'b=2'])
})

test('the floor has one partition, so it is left out when the topic has more', () => {
  expect(parseWireOptions(['--partitions', '8'], memoryBytes)!.servers).toEqual(['odradek'])
})

test.for([
  [['--acks', '2'], /--acks 2/],
  [['--batch', '0'], /--batch 0/],
  [['--seconds', 'x'], /--seconds x/],
  [['--only', 'http'], /--only http/],
  [['--server', 'kafka'], /--server kafka/],
  [['--nonsense'], /--nonsense/],
] as const)('a mistake is named: %o', ([args, message]) => {
  expect(() => parseWireOptions(args, memoryBytes)).toThrow(UsageError)
  expect(() => parseWireOptions(args, memoryBytes)).toThrow(message)
})
