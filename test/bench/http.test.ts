/** The HTTP bench: each producing case stands beside the server that discards, and its verdicts compare the two. */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { planCases } from '../../bench/http.ts'
import type { HttpFigures } from '../../bench/http-cases.ts'
import { parseHttpOptions } from '../../bench/http-options.ts'
import { type HttpResults, httpVerdicts } from '../../bench/http-report.ts'
import { UsageError } from '../../bench/wire-options.ts'

test('the whole plan: all connections, pipelinings, bodies, acks and workers', () => {
  const cases = planCases(parseHttpOptions([])!)
  const of = (part: string) => cases.filter(httpCase => httpCase.part === part)
  expect(of('connections').map(c => [c.server, c.connectionCount, c.pipelining])).toEqual(
    [1, 10, 100, 500].flatMap(connections =>
      [1, 10].flatMap(pipelining => [
        ['discard', connections, pipelining],
        ['odradek', connections, pipelining],
      ]),
    ),
  )
  expect(of('bodies').map(c => [c.server, c.bodyKind, c.recordsPerBatch])).toEqual(
    [
      ['octet-stream', 1] as const,
      ...['lines', 'ndjson', 'rest-json', 'rest-binary'].map(kind => [kind, 50] as const),
    ].flatMap(([kind, batch]) => [
      ['discard', kind, batch],
      ['odradek', kind, batch],
    ]),
  )
  expect(of('acks').map(c => [c.server, c.acks])).toEqual([
    ['discard', 0],
    ['odradek', 0],
    ['odradek', 1],
    ['odradek', -1],
  ])
  expect(of('workers').map(c => [c.server, c.workerCount])).toEqual([
    ['discard', 1],
    ['odradek', 1],
    ['odradek', 2],
  ])
  expect(of('consume').map(c => c.connectionCount)).toEqual([1, 10, 100, 500])
})

test('verdicts compare with the discarding server of the same setting, repeat by repeat', () => {
  const options = parseHttpOptions(['--only', 'connections', '--connections', '10,100'])!
  const figures = (speed: number) =>
    ({ messagesPerSecond: speed, requestsPerSecond: speed }) as HttpFigures
  const speeds = [
    [100, 200, 300],
    [180, 300, 900],
    [1000, null, 1000],
    [1000, 5000, 3000],
    [1, 1, 1],
    [1, 1, 1],
    [1, 1, 1],
    [60_000, 60_000, 60_000],
  ]
  const cases = planCases(options).map((httpCase, at) => ({
    httpCase,
    runs: speeds[at]!.map(speed => (speed === null ? null : figures(speed))),
  }))
  const results = { options, cases, failures: [] } as unknown as HttpResults
  expect(httpVerdicts(results).map(({ what, figure, target }) => [what, figure, target])).toEqual([
    ['10 connection(s), pipelining 1: requests/s against discarding', 1.8, 1.5],
    ['10 connection(s), pipelining 10: requests/s against discarding', 2, 2],
    ['10 connection(s), pipelining 10: stored', 3000, 50_000],
    ['100 connection(s), pipelining 1: requests/s against discarding', 1, 1.5],
    ['100 connection(s), pipelining 10: requests/s against discarding', 60_000, 2],
    ['100 connection(s), pipelining 10: stored', 60_000, 50_000],
  ])
})

test.each([
  ['--body soap', '--body soap: of octet-stream,'],
  ['--only everything', '--only everything: of connections,'],
  ['--acks 2', '--acks 2'],
  ['--connections 0', '--connections 0'],
])('%s is a mistake', (args, message) => {
  const parse = () => parseHttpOptions(args.split(' '))
  expect(parse).toThrow(UsageError)
  expect(parse).toThrow(message)
})

test('a run end to end: figures of both servers, nothing left behind', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'odradek-bench-'))
  try {
    const json = join(directory, 'results', 'http.json')
    const args = '--repeat 1 --seconds 0.2 --quick --only connections,consume --connections 2'
    const script = join(import.meta.dirname, '../../bench/main.ts')
    const { stdout } = await promisify(execFile)(process.execPath, [
      script,
      'http',
      ...args.split(' '),
      ...['--pipelining', '3', '--json', json, '--dir', directory],
    ])
    expect(stdout).toMatch(/\| discard \| octet-stream \| 1 .*\n\| odradek \| octet-stream \| 1 /)
    expect(stdout).toMatch(/\| odradek \| pulls /)
    expect(stdout).not.toContain('FAILED')
    const { cases } = JSON.parse(readFileSync(json, 'utf8')) as HttpResults
    expect(cases.map(({ httpCase }) => httpCase.server)).toEqual(['discard', 'odradek', 'odradek'])
    for (const { runs } of cases) expect(runs[0]!.messagesPerSecond).toBeGreaterThan(0)
    expect(readdirSync(directory)).toEqual(['results'])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
