/**
 * The short form of every scenario of `npm run torture`: a few cycles against the real broker as a process, on real
 * disks where this machine allows it. Where it does not, the test is skipped with what it needs.
 */
import { afterAll, expect, test } from 'vitest'
import { requireThat } from '../support/requires.ts'
import { scenarios, torture } from './scenarios.ts'

/** CI runs more of the cheapest and most telling one. */
const kill9Cycles = process.env.CI === 'true' ? 20 : 3

const cyclesOf = new Map([
  ['kill9', kill9Cycles],
  ['powercut', 3],
  ['fsyncgate', 1],
  ['diskfull', 3],
  ['syscalls', 4],
  ['readonly', 1],
  ['removed', 2],
  ['flips', 2],
  ['signals', 3],
  ['workers', 4],
  ['groups', 2],
  ['groupscut', 2],
])

const seed = Math.floor(Math.random() * 1_000_000)
const rates: string[] = []
afterAll(() => {
  process.stdout.write(` torture: ${rates.join(', ')}\n`)
})

test.for(scenarios)('$name', { timeout: 300_000 }, async (scenario, context) => {
  for (const { isThere, missing, cure, isInstallable } of scenario.needs()) {
    if (isInstallable) requireThat(context, isThere, missing, cure)
    // Not every machine lets one mount or trace, the one of the continuous integration included.
    else if (!isThere) context.skip(`${missing}; to run this test: ${cure}`)
  }
  const cycles = cyclesOf.get(scenario.name) ?? 1
  const report = await torture(scenario, { cycles, seed, isShort: true })
  expect(report.violation, `seed ${seed}, data in ${report.directory}`).toBeNull()
  expect(report.cycles).toBe(cycles)
  rates.push(`${scenario.name} ${report.cycles} cycles in ${report.seconds.toFixed(0)} s`)
})
