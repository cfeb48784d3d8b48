/** The command line of `npm run torture`. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { tempDirectory } from '../support/temp-directory.ts'
import { scenarios } from './scenarios.ts'

const main = fileURLToPath(new URL('./main.ts', import.meta.url))

function run(
  ...args: readonly string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise(resolve => {
    execFile(process.execPath, [main, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

describe('npm run torture', { timeout: 120_000 }, () => {
  test('--help lists every scenario and shows an example', async () => {
    const { code, stdout } = await run('--help')
    expect(code).toBe(0)
    for (const { name, about } of scenarios)
      expect(stdout).toContain(`  ${name.padEnd(14)}${about}`)
    expect(stdout).toContain('Example: npm run torture -- kill9')
  })

  test.each([
    [[], 'a name is missing'],
    [['nothing'], 'no scenario "nothing"'],
    [['kill9', 'powercut'], 'one scenario at a time'],
    [['kill9', '--cycles', 'many'], '--cycles many'],
    [['kill9', '--cycle', '3'], "'--cycle'"],
  ])('%j is refused in one line, code 2', async (args, message) => {
    const { code, stdout, stderr } = await run(...args)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain(message)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })

  test('--json reports one line; a broker that does not start is a failure, code 1', async () => {
    const good = await run('workers', '--cycles', '1', '--seed', '5', '--json')
    expect(good.stderr).toBe('')
    expect(JSON.parse(good.stdout)).toMatchObject({
      scenario: 'workers',
      seed: 5,
      cycles: 1,
      violation: null,
      directory: null,
    })
    const bad = await run(
      'kill9',
      '--cycles',
      '1',
      '--broker',
      main,
      '--dir',
      await tempDirectory(),
    )
    expect(bad.code).toBe(1)
    expect(bad.stdout).toContain('FAILED')
    expect(good.code).toBe(0)
  })
})
