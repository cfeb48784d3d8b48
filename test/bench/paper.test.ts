/** The paper bench counts what was stored, reads the reports of load tools as they are, and goes on where it was. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { barFigure, lineFigure } from '../../bench/paper-figures.ts'
import { rateCurve, renderPaperHtml } from '../../bench/paper-html.ts'
import { type PaperOptions, parsePaperOptions } from '../../bench/paper-options.ts'
import { renderPaper } from '../../bench/paper-report.ts'
import {
  hostClass,
  type PaperEntry,
  type PaperResults,
  readResults,
  type StepFigures,
} from '../../bench/paper-results.ts'
import { diskBytes, runPaperCase } from '../../bench/paper-run.ts'
import { figuresOf as openWireFigures } from '../../bench/rivals/activemq.ts'
import { cpuSecondsOf, processTree } from '../../bench/rivals/broker-processes.ts'
import { requireCommand as requireRival } from '../../bench/rivals/fetch.ts'
import { consumedOf, producedOf } from '../../bench/rivals/kafka.ts'
import { figuresOf as natsFigures } from '../../bench/rivals/nats.ts'
import { odradeks } from '../../bench/rivals/odradek.ts'
import { figuresOf as perfTestFigures } from '../../bench/rivals/rabbitmq.ts'
import { redis, figuresOf as redisFigures } from '../../bench/rivals/redis.ts'
import { type Load, MissingRival, type Rival } from '../../bench/rivals/rival.ts'
import { inRounds, runTool } from '../../bench/rivals/run-tool.ts'
import { requireCommand } from '../support/requires.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'odradek-paper-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

const load: Load = { queue: 'q', messages: 100_000, messageBytes: 200, seconds: 60, directory: '' }
const ran = (...lines: string[]) => ({ lines, wasKilled: false, cpuSeconds: 1 })
const killed = (...lines: string[]) => ({ ...ran(...lines), wasKilled: true })

describe('the command line', () => {
  test('names every peer by all, and measures odradek alone by default', () => {
    expect(parsePaperOptions([])).toMatchObject({
      peers: [],
      odradek: true,
      messages: 1_000_000,
      seconds: 60,
      repeatCount: 5,
    })
    const all = ['rabbitmq', 'activemq', 'kafka', 'nats', 'redis']
    expect(parsePaperOptions(['--peers', 'all'])?.peers).toEqual(all)
    expect(parsePaperOptions(['--help'])).toBeNull()
  })

  test.each([
    [['--peers', 'rabbitmq,mqtt'], /--peers mqtt/],
    [['--messages', '1.5'], /--messages 1.5/],
    [['--levels', 'sure'], /--levels sure/],
    [['--repeats', '3'], /repeats/],
  ])('refuses %j', (args, complaint) => {
    expect(() => parsePaperOptions(args)).toThrow(complaint)
  })
})

describe('reports of load tools', () => {
  const sent = (at: string, rate: number) => `id: test-1, time ${at} s, sent: ${rate} msg/s`

  test('PerfTest: all messages, at the mean it tells', () => {
    const end = ['test stopped (Producer reached message limit)']
    end.push('id: test-1, sending rate avg: 50000 msg/s', 'id: test-1, receiving rate avg: 0 msg/s')
    const run = ran(sent('1.000', 40_000), ...end)
    expect(perfTestFigures(run, 100_000, 'sent')).toEqual({
      messages: 100_000,
      seconds: 2,
      curve: [
        { seconds: 1, messages: 40_000 },
        { seconds: 2, messages: 100_000 },
      ],
      clientCpuSeconds: 1,
    })
  })

  test('PerfTest stopped by the clock counts what its intervals told, and never more', () => {
    const run = ran(sent('1.000', 1000), sent('2.000', 3000), 'test stopped (Reached time limit)')
    const { messages, seconds } = perfTestFigures(run, 100_000, 'sent')
    expect(messages).toBeLessThanOrEqual(4000)
    expect(messages / seconds).toBeCloseTo(2000, 0)
    expect(() => perfTestFigures(ran('test stopped'), 1, 'sent')).toThrow(/no message/)
  })

  test("Kafka's producer: the last line is the whole; without it the intervals count", () => {
    const interval = '40000 records sent, 8000.0 records/sec (1.5 MB/sec), 1 ms avg latency'
    const whole = '100000 records sent, 10000.0 records/sec (1.9 MB/sec), 1 ms avg latency'
    expect(producedOf(ran(interval, whole), load)).toMatchObject({ messages: 100_000, seconds: 10 })
    expect(producedOf(killed(interval), load)).toMatchObject({ messages: 40_000, seconds: 5 })
    expect(() => producedOf(ran(interval), load)).toThrow(/40000 of 100000/)
  })

  test("Kafka's consumer: the time without joining; a shortfall is a failure", () => {
    const line = (count: number) =>
      `2026-01-01 00:00:00:000, 2026-01-01 00:00:03:000, 19.0, 6.3, ${count}, 33333, 1000, 2000, 9.5, 50000`
    expect(consumedOf(ran(line(100_000)), load)).toMatchObject({ messages: 100_000, seconds: 2 })
    expect(() => consumedOf(ran(line(99_999)), load)).toThrow(/99999 of 100000/)
    expect(() => consumedOf(killed(), load)).toThrow(/end/)
  })

  test('nats bench, redis-benchmark and the OpenWire driver', () => {
    const pub = 'NATS Pub stats: 50,000 msgs/sec ~ 9.54 MB/sec'
    expect(natsFigures(ran(pub), 100_000, 'Pub')).toMatchObject({ seconds: 2 })
    expect(() => natsFigures(ran(pub), 100_000, 'Sub')).toThrow(/end/)
    const csv = ['"test","rps","avg_latency_ms"', '"XREAD COUNT","250.00","0.1"']
    expect(redisFigures(ran(...csv), 100, 1000)).toMatchObject({ messages: 100_000, seconds: 0.4 })
    expect(() => redisFigures(ran('Error from server: ERR'), 1)).toThrow(/ERR/)
    const report = ['at 0.2500 10', 'end 0.5000 30']
    expect(openWireFigures(ran(...report))).toMatchObject({ messages: 30, seconds: 0.5 })
    expect(() => openWireFigures(killed('at 0.2500 10'))).toThrow(/end/)
  })

  test('rounds end with the messages or with the time', async () => {
    const round = async (count: number) => ({
      messages: count,
      seconds: 1,
      curve: [],
      clientCpuSeconds: 0,
    })
    const messages = 1_000_000
    expect(await inRounds(messages, 60, round)).toMatchObject({ messages, seconds: 10 })
    expect(await inRounds(messages, 3, round)).toMatchObject({ messages: 300_000, seconds: 3 })
  })
})

describe('processes', () => {
  test('a tool that fails is told by its last lines; one past its time is killed', async () => {
    const fails = { command: 'sh', args: ['-c', 'echo no such queue; exit 3'], seconds: 30 }
    await expect(runTool(fails)).rejects.toThrow(/exit 3: no such queue/)
    const sleeps = { command: 'sh', args: ['-c', 'echo begun; exec sleep 600'], seconds: 0.5 }
    const run = await runTool({ ...sleeps, graceSeconds: 0.5 })
    expect(run).toMatchObject({ wasKilled: true, lines: ['begun'] })
    await expect(runTool({ ...fails, command: 'no-such-tool' })).rejects.toThrow(/ENOENT/)
  })

  test('CPU time is that of the tree: a child of a child counts', async () => {
    const loop = 'while :; do :; done'
    const child = spawn('sh', ['-c', `sh -c '${loop}' & echo $!; wait`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const grandchild = await new Promise<number>(resolve => {
      child.stdout.once('data', chunk => resolve(Number(chunk)))
    })
    try {
      expect(processTree([child.pid!])).toEqual(expect.arrayContaining([child.pid, grandchild]))
      await expect.poll(() => cpuSecondsOf(processTree([child.pid!]))).toBeGreaterThan(0.05)
    } finally {
      process.kill(grandchild, 'SIGKILL')
      child.kill('SIGKILL')
    }
  })

  test('what is not installed is named with its package', () => {
    const require = () => requireRival('no-such-broker', 'some-package')
    expect(require).toThrow(MissingRival)
    expect(require).toThrow('no-such-broker (apt-get install some-package)')
  })

  test('bytes on the disk are those written, not the size of a file made large beforehand', () => {
    mkdirSync(join(directory, 'sub'))
    writeFileSync(join(directory, 'sub', 'log'), Buffer.alloc(40_960, 1))
    const before = diskBytes(directory)
    expect(before).toBeGreaterThanOrEqual(40_960)
    writeFileSync(join(directory, 'sparse'), '')
    expect(diskBytes(directory)).toBe(before)
  })
})

const step: StepFigures = {
  messages: 10_000,
  seconds: 2,
  messagesPerSecond: 5000,
  megabytesPerSecond: 1,
  brokerCpuPerMillion: 3,
  brokerCores: 0.5,
  clientCores: 0.4,
  curve: [
    { seconds: 0.001, messages: 500 },
    { seconds: 1, messages: 4000 },
    { seconds: 2, messages: 10_000 },
  ],
}

function entryOf(system: string, runs: PaperEntry['runs']): PaperEntry {
  const words = { driver: 'tool', consuming: 'pulls', clientBound: null, durability: 'none' }
  return { system, ...words, level: 'fire', batch: 1, runs }
}

function resultsOf(entries: PaperEntry[]): PaperResults {
  return {
    startedAt: '2026-01-01T00:00:00.000Z',
    machine: {
      cpuModel: 'some CPU',
      coreCount: 2,
      memoryBytes: 8e9,
      kernel: 'Linux 6',
      nodeVersion: 'v24',
      fileSystem: 'ext4 on /dev/x',
      dataDirectory: '',
      fdatasyncP50Ms: 1.25,
      fdatasyncP99Ms: 9.5,
      loadAverage: 0.1,
    },
    messages: 10_000,
    seconds: 60,
    messageBytes: 200,
    warmupMessages: 1000,
    versions: { fast: '1.0' },
    missing: { 'Some <queue>': 'not installed' },
    entries,
  }
}

describe('the report', () => {
  const run = { produce: step, consume: step, overheadBytes: 9, brokerRssMegabytes: 80 }
  const failed = { failed: 'it ended at its start' }
  const results = resultsOf([entryOf('fast', [run, failed]), entryOf('broken', [failed])])

  test('says what was measured, what failed and why, and what is missing', () => {
    const report = renderPaper(results)
    expect(report).toMatch(/\| fast +\| fire +\| 1 +\| 5,000, 1 failed +\| 1\.00 +\| 3\.00 /)
    expect(report).toMatch(/\| broken +\| fire +\| 1 +\| failed +\| –/)
    expect(report).toContain('failed    broken, fire, batch 1: it ended at its start')
    expect(report).toContain('missing   Some <queue>: not installed')
    expect(report).toContain('p50 1.25 ms, p99 9.50 ms')
  })

  test('is one page without outside resources, with its names escaped', () => {
    const html = renderPaperHtml(results)
    expect(html).toContain('Some &lt;queue>')
    expect(html).not.toMatch(/(src|href)=|url\(|<script/)
    expect(html.match(/<svg /g)).toHaveLength(3)
    for (const tag of ['svg', 'table', 'title', 'text']) {
      const opened = html.match(new RegExp(`<${tag}[ >]`, 'g'))?.length
      expect(html.match(new RegExp(`</${tag}>`, 'g')), tag).toHaveLength(opened ?? 0)
    }
  })

  test('the curve has the rate of each stretch at the MB where it ended, none of a moment', () => {
    const points = rateCurve(step)
    expect(points.map(({ x }) => Number(x.toFixed(3)))).toEqual([0, 0.8, 2])
    expect(points.map(({ y }) => y)).toEqual([4000, 4000, 6000])
    expect(rateCurve({ ...step, curve: [] })).toEqual([
      { x: 0, y: 5000 },
      { x: 2, y: 5000 },
    ])
  })

  test('figures stand without a run, and with one of zero overhead', () => {
    expect(lineFigure([], { x: 'MB', y: 'messages/s' })).toBe('<p>No run to draw.</p>')
    const bars = [{ label: 'a', value: 0, low: 0, high: 0 }]
    expect(barFigure(bars, { unit: 'bytes' })).not.toContain('NaN')
  })

  test('results of other settings are not mixed in', () => {
    const path = join(directory, 'results.json')
    expect(readResults(path, results)).toBeNull()
    writeFileSync(path, JSON.stringify(results))
    expect(readResults(path, results)?.entries).toHaveLength(2)
    expect(() => readResults(path, { ...results, messages: 5 })).toThrow(/messages 10000, not 5/)
    expect(hostClass()).toMatch(/^\d+-core-\w+$/)
  })
})

describe('a run', () => {
  const options = parsePaperOptions(['--messages', '5000', '--warmup', '500']) as PaperOptions

  const caseOf = (rival: Rival, level: string, batch: number) =>
    rival.cases.find(one => one.level === level && one.batch === batch)!

  test('of odradek stores and reads every message, and measures broker and disk', async () => {
    const [rival] = odradeks
    const run = await runPaperCase(rival!, caseOf(rival!, 'fire', 50), options, directory)
    expect(run.produce.messages).toBeGreaterThanOrEqual(5000)
    expect(run.consume?.messages).toBeGreaterThanOrEqual(5000)
    expect(run.produce.brokerCpuPerMillion).toBeGreaterThan(0)
    // 10.2 bytes in batches of 50, and indexes.
    expect(run.overheadBytes).toBeGreaterThan(5)
    expect(run.overheadBytes).toBeLessThan(40)
  })

  test('of Redis does the same, where it is installed', async context => {
    requireCommand(context, 'redis-server')
    requireCommand(context, 'redis-benchmark', 'redis-tools')
    await redis.prepare()
    const run = await runPaperCase(redis, caseOf(redis, 'answered', 50), options, directory)
    expect(run.produce.messages).toBe(5000)
    expect(run.consume?.messages).toBeGreaterThanOrEqual(5000)
    expect(run.overheadBytes).toBeGreaterThan(0)
  })

  test('that fails costs its row, is named with its reason, and is run again by --resume', async context => {
    requireCommand(context, 'redis-server')
    requireCommand(context, 'redis-benchmark', 'redis-tools')
    const broken = join(directory, 'broken')
    mkdirSync(broken)
    writeFileSync(join(broken, 'redis-server'), '#!/bin/sh\necho no memory today\nexit 1\n', {
      mode: 0o755,
    })
    const json = join(directory, 'results.json')
    const bench = async (path: string, ...args: string[]) => {
      const script = join(import.meta.dirname, '../../bench/main.ts')
      const common = ['--no-odradek', '--peers', 'redis', '--levels', 'answered', '--batches', '50']
      const sizes = ['--messages', '3000', '--warmup', '100', '--repeat', '1', '--dir', directory]
      const child = spawn(process.execPath, [script, 'paper', ...common, ...sizes, ...args], {
        env: { ...process.env, PATH: path },
        stdio: ['ignore', 'pipe', 'ignore'],
      })
      const [said, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
      return { said, code }
    }
    const usual = process.env.PATH ?? ''
    const failed = await bench(`${broken}:${usual}`, '--json', json)
    expect(failed.said).toMatch(/failed +Redis Streams, answered, batch 50: .*no memory today/)
    expect(failed.code).toBe(1)
    const missing = await bench(broken, '--json', join(directory, 'other.json'))
    expect(missing.said).toMatch(/missing +Redis Streams: redis-benchmark \(apt-get install/)
    expect(missing.code).toBe(1)
    const resumed = await bench(usual, '--resume', json)
    expect(resumed.said).not.toMatch(/^failed/m)
    expect(resumed.code).toBe(0)
    const { entries } = JSON.parse(readFileSync(json, 'utf8')) as PaperResults
    expect(entries.map(({ runs }) => runs.length)).toEqual([1])
    expect(readFileSync(join(directory, 'results.html'), 'utf8')).toContain('Redis Streams')
    // Nothing of the runs is left beside the results.
    expect(readdirSync(directory).sort()).toEqual([
      'broken',
      'other.html',
      'other.json',
      'results.html',
      'results.json',
    ])
  })
})
