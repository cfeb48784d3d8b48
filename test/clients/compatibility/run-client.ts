/** Plays all scenarios with one client as vitest tests, and leaves what came of it where main.ts finds it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, test } from 'vitest'
import { driverOf } from './drivers.ts'
import type { ClientResult, Outcome } from './results.ts'
import { scenarios } from './scenarios.ts'
import { type Scenario, Stage } from './stage.ts'

/** A bound for machines under load, not an expectation. */
const scenarioTimeoutMs = 240_000

/** Directory for `<id>.json`, from main.ts. */
const resultsDirectory = process.env.COMPATIBILITY_RESULTS

export function compatibilityOf(id: string): void {
  const driver = driverOf(id)
  const outcomes = new Map<string, Outcome>()
  let stage: Stage | null = null
  let version = ''

  async function play(scenario: Scenario, skip: (note: string) => void): Promise<void> {
    if (stage === null) throw new Error('there is no broker')
    const { cannot } = (await stage.client()).hello
    const reason = scenario.needs.map(need => cannot[need]).find(one => one !== undefined)
    if (reason !== undefined) {
      outcomes.set(scenario.id, { cannot: reason })
      skip(reason)
      return
    }
    outcomes.set(scenario.id, 'failed')
    await scenario.run(stage)
    outcomes.set(scenario.id, 'passed')
  }

  describe(driver.title, () => {
    const missing = driver.missing()
    beforeAll(async () => {
      if (missing !== null) return
      stage = await Stage.set(driver)
      ;({ version } = (await stage.client()).hello)
    })
    afterEach(({ task }) => stage?.clear(task.result?.state === 'fail'))
    afterAll(async () => {
      await stage?.strike()
      const { title } = driver
      const result: ClientResult = { id, title, version, outcomes: Object.fromEntries(outcomes) }
      await leave(missing === null ? result : { id, title, missing })
    })
    test.for(scenarios)('$title', { timeout: scenarioTimeoutMs }, async (scenario, context) => {
      if (missing !== null) context.skip(`${missing[0]}; to run this: ${missing[1]}`)
      await play(scenario, context.skip)
    })
  })

  async function leave(result: object): Promise<void> {
    if (resultsDirectory === undefined) return
    await mkdir(resultsDirectory, { recursive: true })
    await writeFile(join(resultsDirectory, `${id}.json`), JSON.stringify(result))
  }
}
