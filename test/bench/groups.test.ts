/** The groups bench: its options, its verdicts, and that it counts what a broker really does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { measureIdle, measureRebalances } from '../../bench/group-cases.ts'
import { measureCommits } from '../../bench/group-commits.ts'
import { checkAssignment, type GroupMember, Round } from '../../bench/group-members.ts'
import { parseGroupsOptions } from '../../bench/groups-options.ts'
import { type GroupsResults, groupsVerdicts, renderGroups } from '../../bench/groups-report.ts'
import { type MeasuredServer, startServer } from '../../bench/server-process.ts'
import { UsageError } from '../../bench/wire-options.ts'

test('options have defaults, and mistakes are named', () => {
  expect(parseGroupsOptions([])).toMatchObject({
    parts: ['rebalance', 'commits', 'idle'],
    memberCount: 500,
    partitionCount: 1000,
    inFlights: [1, 8],
    idleCounts: [1000, 10_000],
  })
  expect(parseGroupsOptions(['--help'])).toBeNull()
  expect(parseGroupsOptions(['--only', 'idle', '--idle', '30,20,30'])).toMatchObject({
    parts: ['idle'],
    idleCounts: [20, 30],
  })
  for (const args of [['--only', 'idel'], ['--members', '0'], ['--seconds', 'x'], ['--wat']])
    expect(() => parseGroupsOptions(args)).toThrow(UsageError)
})

test('verdicts are medians over all repeats, and the slowest rebalance counts, too', () => {
  const rounds = (...times: number[]) => times.map(elapsedMs => ({ elapsedMs, cpuSeconds: 1 }))
  const run = (...times: number[]) => ({
    initial: rounds(times[0] ?? 0),
    rejoin: rounds(...times),
    newcomer: rounds(1),
    leaver: rounds(1),
    memberKilobytes: 1,
  })
  const commits = (commitsPerSecond: number) => ({
    commitsPerSecond,
    slowestPerSecond: 1,
    p50Ms: 1,
    p99Ms: 1,
    p999Ms: 1,
    cpuMicroseconds: 1,
  })
  const idle = (connectionCount: number, foundMegabytes: number) => [
    { connectionCount, foundMegabytes, settledMegabytes: -1, heapKilobytes: 4 },
  ]
  const results: GroupsResults = {
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
    options: parseGroupsOptions([])!,
    rebalances: [run(100, 300), run(500, 2500)],
    commits: [{ inFlight: 1, runs: [commits(9000), commits(20_000), commits(8000)] }],
    idle: [idle(10_000, 310), idle(10_000, -5)],
    failures: [],
  }
  const verdicts = groupsVerdicts(results).map(({ what, figure, ratio }) => [
    what.split(':').at(-1)?.trim(),
    figure,
    ratio >= 1,
  ])
  expect(verdicts).toEqual([
    ['all join a new group at once', 300, true],
    ['the leader joins again', 400, true],
    ['a member comes', 1, true],
    ['a member leaves', 1, true],
    ['the slowest of all', 2500, false],
    ['commits, 1 outstanding', 9000, false],
    ['10000 idle connections', 175, true],
  ])
  expect(renderGroups(results)).toContain('| 1 outstanding | 9,000 (8,000–20,000) |')
})

test('a round is over when all hold an assignment of the same generation', async () => {
  const round = new Round(2, 3)
  round.joining()
  round.led(4, 1)
  round.synced(4)
  expect(round.isOver).toBe(false)
  round.led(5, 2)
  round.synced(5)
  round.synced(4)
  expect(round.isOver).toBe(false)
  round.synced(5)
  expect(round).toMatchObject({ isOver: true, generation: 5 })
  await round.done
  expect(round.elapsedMs).toBeGreaterThanOrEqual(0)
})

test('an assignment with a gap, an overlap or two generations is none', () => {
  const shape = { groupId: 'g', topic: 't', partitionCount: 4, heartbeatMs: 1 }
  const check = (...members: [generation: number, partitions: number[]][]) =>
    checkAssignment(
      members.map(
        ([generation, partitions]) => ({ generation, partitions }) as unknown as GroupMember,
      ),
      shape,
    )
  check([1, [0, 1]], [1, [2, 3]])
  expect(() => check([1, [0, 1]], [1, [2]])).toThrow('3 partitions assigned of 4')
  expect(() => check([1, [0, 1]], [1, [1, 3]])).toThrow('4 partitions assigned of 4')
  expect(() => check([1, [0, 1]], [2, [2, 3]])).toThrow('2 generations')
})

describe('against a broker', () => {
  let directory: string
  let server: MeasuredServer

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'odradek-bench-groups-'))
    server = await startServer({
      kind: 'odradek',
      directory: join(directory, 'case'),
      gcProbe: false,
      collectProbe: true,
      odradekArguments: ['--log-level', 'warn'],
      profileDirectory: null,
      readyTimeoutMs: 60_000,
    })
  })

  afterEach(async () => {
    await server.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  test('a group rebalances, with every partition in one hand', async () => {
    const settings = { memberCount: 7, partitionCount: 20, heartbeatMs: 10, roundCount: 2 }
    const { initial, rejoin, newcomer, leaver } = await measureRebalances(server, settings)
    const counts = [initial, rejoin, newcomer, leaver].map(({ length }) => length)
    expect(counts).toEqual([1, 2, 2, 2])
    for (const { elapsedMs } of [...initial, ...rejoin, ...newcomer, ...leaver])
      expect(elapsedMs).toBeGreaterThan(0)
  })

  test('commits are counted, with their latencies', async () => {
    const settings = { connectionCount: 3, inFlight: 2, rowCount: 2, seconds: 1 }
    const figures = await measureCommits(server, settings)
    expect(figures.commitsPerSecond).toBeGreaterThan(0)
    expect(figures.p99Ms).toBeGreaterThanOrEqual(figures.p50Ms)
    // The topic is there already.
    await expect(measureCommits(server, settings)).rejects.toThrow('CreateTopics')
  })

  test('idle connections are counted as many as they are', async () => {
    const figures = await measureIdle(server, [5, 20])
    expect(figures.map(({ connectionCount }) => connectionCount)).toEqual([5, 20])
  })
})
