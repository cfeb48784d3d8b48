/**
 * The simulation in its short form: some hundreds of seeds and every one that once failed, each run twice, and a few
 * planted bugs. `npm run sim` does more of it.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { root } from '../support/source-tree.ts'
import { replaceOnce } from './plant-hook.ts'
import { plants } from './plants.ts'

const run = promisify(execFile)

interface Summary {
  readonly seeds: number
  readonly failed: number
  readonly failures: readonly { readonly seed: number; readonly detail: string }[]
  readonly counts: Readonly<Record<string, number>>
}

/** In a process of its own: the traps would catch vitest as well. */
async function sim(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const main = join(root, 'test/sim/main.ts')
  const options = { cwd: root, maxBuffer: 64 * 1024 * 1024 }
  try {
    return { code: 0, ...(await run(process.execPath, [main, ...args], options)) }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

test('every promise is kept, and every seed does the same again', {
  timeout: 180_000,
}, async () => {
  const { stdout } = await sim('--seeds', '150', '--corpus', '--twice', '--json')
  const { failures, seeds, counts } = JSON.parse(stdout) as Summary
  expect(failures).toEqual([])
  expect(seeds).toBeGreaterThanOrEqual(150)
  // What the seeds met: a generator that reaches nothing proves nothing.
  for (const what of [
    'crash kill',
    'crash power-cut',
    'crash owner-crash',
    'recoveries that cut',
    'offline',
    'brought back',
    'duplicates answered',
    'retries',
    'stopped clean',
    'records deleted',
    'compactions that removed records',
    'task scrub-segment',
    'fault write-short',
    'fault write-enospc',
    'fault read-eio',
    'cache files damaged',
    'wall-jump',
  ]) {
    expect(counts[what] ?? 0, what).toBeGreaterThan(0)
  }
})

describe('planted bugs', () => {
  test.each(plants.map(plant => [plant.name, plant] as const))('%s can be planted', (_, plant) => {
    for (const edit of plant.edits) {
      const source = readFileSync(join(root, edit.file), 'utf8')
      expect(replaceOnce(source, edit)).not.toBe(source)
    }
  })

  test.each([
    'high-watermark-is-log-end',
    'no-directory-sync',
    'recovery-drops-later-segments',
    'unlink-before-log-start',
  ])('%s is caught', async name => {
    const { code, stdout } = await sim('--plant', name, '--starts', '1', '--json')
    expect(stdout).toContain('"median":')
    expect(code).toBe(0)
  })

  test('one that is not there is refused', async () => {
    const { code, stderr } = await sim('--plant', 'none')
    expect(stderr).toContain('there is no plant none')
    expect(code).toBe(1)
  })
})

test('a failing seed is printed with what was broken and how to replay it', async () => {
  const { code, stdout } = await sim('--trace', '7', '--steps', '50')
  expect(stdout).toMatch(/every promise held/)
  expect(stdout).toMatch(/host {3}starts after a clean stop/)
  expect(code).toBe(0)
})

test('usage: --help has an example, a wrong option is refused', async () => {
  const { stdout } = await sim('--help')
  expect(stdout).toContain('npm run sim -- --seeds 2000')
  expect(await sim('--seeds', 'many')).toMatchObject({ code: 2 })
  expect(await sim('--unknown')).toMatchObject({ code: 2 })
})
