/** The flush bench: its options, its arithmetic, and that a raw loop writes and syncs what it says it does. */
import { execFile } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { parseFlushOptions } from '../../bench/flush-options.ts'
import type { RawResult, RawSettings } from '../../bench/flush-raw.ts'
import { type FlushResults, flushVerdicts, renderFlush } from '../../bench/flush-report.ts'
import { UsageError } from '../../bench/wire-options.ts'
import { Latencies } from '../../src/load/latencies.ts'
import { tempDirectory } from '../support/temp-directory.ts'

test('percentiles of latencies are right to 2 %, over the whole range', () => {
  const latencies = new Latencies()
  expect(latencies.percentileMs(0.5)).toBeNaN()
  for (let at = 1; at <= 10_000; at++) latencies.observe(at / 100)
  expect(latencies.percentileMs(0.5) / 50).toBeCloseTo(1, 1)
  expect(latencies.percentileMs(0.99) / 99).toBeCloseTo(1, 1)
  latencies.reset()
  latencies.observe(0, 99)
  latencies.observe(1e9)
  expect(latencies.percentileMs(0.5)).toBeLessThan(0.0011)
  expect(latencies.percentileMs(0.999)).toBeGreaterThan(500_000)
})

test('options have defaults, and mistakes are named', () => {
  expect(parseFlushOptions([])).toMatchObject({
    partitionCounts: [1, 10, 100, 1000],
    windowsBytes: [4e6, 36e6],
    batches: [50],
    poolThreads: 16,
  })
  expect(parseFlushOptions(['--help'])).toBeNull()
  expect(parseFlushOptions(['--partitions', '7', '--only', 'pool,acks=all'])).toMatchObject({
    partitionCounts: [7],
    modes: ['pool', 'acks=all'],
  })
  for (const args of [['--only', 'acks=2'], ['--partitions', '0'], ['--window', 'x'], ['--wat']])
    expect(() => parseFlushOptions(args)).toThrow(UsageError)
})

test('verdicts compare the modes at the same point only, repeat by repeat', () => {
  const options = parseFlushOptions(['--repeat', '3'])!
  const figures = (messagesPerSecond: number) => ({
    messagesPerSecond,
    roundsPerSecond: 1,
    syncsPerSecond: 1,
    latencyP50Ms: 1,
    latencyP99Ms: 1,
    cpuPerGigabyte: 1,
    cores: 1,
  })
  const point = { windowBytes: 4e6, recordsPerBatch: 50 }
  const results: FlushResults = {
    startedAt: 'now',
    machine: {
      cpuModel: 'cpu',
      coreCount: 2,
      memoryBytes: 1e9,
      kernel: 'Linux',
      nodeVersion: 'v24',
      fileSystem: 'ext4',
      dataDirectory: '/data',
      fdatasyncP50Ms: 1,
      fdatasyncP99Ms: 2,
      loadAverage: 0,
    },
    options,
    cases: [
      {
        flushCase: { ...point, mode: 'acks=1', partitionCount: 100 },
        runs: [figures(100), figures(1000), figures(200)],
      },
      {
        flushCase: { ...point, mode: 'acks=all', partitionCount: 100 },
        runs: [figures(50), null, figures(150)],
      },
      { flushCase: { ...point, mode: 'acks=1', partitionCount: 1000 }, runs: [figures(1)] },
    ],
    failures: ['2/3 acks=all: died'],
  }
  const [against] = flushVerdicts(results)
  expect(against).toMatchObject({ figure: 0.625, target: 0.6 })
  expect(renderFlush(results)).toContain('2/3 acks=all: died')
  expect(renderFlush(results)).toMatch(/100 partition\(s\), 4 MB.* 0\.625 .* ok /)
})

test.each(['sequential', 'pool', 'journal'] as const)('raw loop, %s', async mode => {
  const directory = join(await tempDirectory(), 'raw')
  const settings: RawSettings = {
    mode,
    directory,
    fileCount: 3,
    batchBytes: 1000,
    batchesInFlight: 6,
    seconds: 30,
    warmupSeconds: 0,
    bytesMax: 60_000,
  }
  const script = join(import.meta.dirname, '../../bench/flush-raw.ts')
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(settings)])
  const result = JSON.parse(stdout) as RawResult
  // Two batches to each of three files a round.
  expect(result).toMatchObject({ rounds: 10, batches: 60, syncs: mode === 'journal' ? 10 : 30 })
  const files = readdirSync(directory).filter(name => name !== 'journal')
  const sizes = files.map(name => statSync(join(directory, name)).size)
  expect(sizes).toEqual([20_000, 20_000, 20_000])
})
