/** Entry of `npm run compatibility`: real clients against fresh brokers, and the table of docs/compatibility.md. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { makeTempDirectory } from '../../support/temp-directory.ts'
import { clientDrivers } from './drivers.ts'
import {
  type AbsentClient,
  type ClientResult,
  differences,
  recordedResults,
  recordResults,
  table,
} from './results.ts'
import { scenarios } from './scenarios.ts'

const ids = clientDrivers.map(({ id }) => id)

const help = `Usage: npm run compatibility -- [options]

Plays the scenarios of test/clients/compatibility with every client that is installed, each against brokers of its own,
and compares what came of it with the table in docs/compatibility.md. Code 1 when a scenario fails or the table differs.

  --only A,B   these clients alone: ${ids.join(', ')}
  --write      writes the table instead of comparing; clients that are not here keep what they have

Example: npm run compatibility -- --only kafkajs
`

interface Options {
  readonly only: readonly string[]
  readonly isWriting: boolean
}

/** Null when help was asked for. @throws for what it does not know */
function parse(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string', default: ids.join(',') },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  if (values.help) return null
  const only = values.only.split(',')
  const unknown = only.find(id => !ids.includes(id))
  if (unknown !== undefined) throw new Error(`no client ${unknown}; there are ${ids.join(', ')}`)
  return { only, isWriting: values.write }
}

async function play(only: readonly string[], resultsDirectory: string): Promise<number> {
  const vitest = fileURLToPath(new URL('../../../node_modules/vitest/vitest.mjs', import.meta.url))
  const config = fileURLToPath(new URL('vitest.config.ts', import.meta.url))
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const files = only.map(id => `compatibility/${id}.compat.ts`)
  const args = [vitest, 'run', '--root', root, '--config', config, ...files]
  const child = spawn(process.execPath, args, {
    stdio: 'inherit',
    env: { ...process.env, COMPATIBILITY_RESULTS: resultsDirectory },
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return code ?? 1
}

type Left = ClientResult | AbsentClient

async function main(args: readonly string[]): Promise<number> {
  const options = parse(args)
  if (options === null) {
    process.stdout.write(help)
    return 0
  }
  await using directory = await makeTempDirectory('odradek-compatibility-')
  const code = await play(options.only, directory.path)
  const left: Left[] = []
  for (const id of options.only) {
    left.push(JSON.parse(await readFile(directory.file(`${id}.json`), 'utf8')) as Left)
  }
  const found = left.filter(one => 'outcomes' in one)
  if (found.length > 0) process.stdout.write(`\n${table(found, scenarios)}\n`)
  for (const one of left) {
    if (!('missing' in one)) continue
    process.stdout.write(`NOT HERE: ${one.title}: ${one.missing[0]}; ${one.missing[1]}\n`)
  }
  if (code !== 0) return code
  if (options.isWriting) await recordResults(found, ids, scenarios)
  return compare(found, await recordedResults())
}

/** @returns the exit code. */
function compare(found: readonly ClientResult[], recorded: readonly ClientResult[]): number {
  for (const { id, title, version } of found) {
    const before = recorded.find(one => one.id === id)?.version
    if (before === undefined || before === version) continue
    process.stdout.write(`${title} is ${version} here; the table has ${before}\n`)
  }
  const lines = differences(found, recorded)
  if (lines.length === 0) return 0
  const advice = 'If this is right: npm run compatibility -- --write'
  process.stdout.write(`The table is not what was found.\n${lines.join('\n')}\n${advice}\n`)
  return 1
}

process.exitCode = await main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  return 2
})
