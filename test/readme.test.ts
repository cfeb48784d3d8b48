/** Every example of README.md is run as it stands there, against a broker of this test's own. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { Admin } from '../src/client/admin.ts'
import { readmeCommands, readmeExamples } from './support/readme-example.ts'
import { requireCommand } from './support/requires.ts'
import { type SpawnedBroker, spawnBroker } from './support/spawn-broker.ts'
import { tempDirectory } from './support/temp-directory.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

/** An environment where `npm`, `node` and `npx` are the checkout's, as inside an npm script. */
const env = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` }

/** Imports that resolve from a file anywhere. */
function absolute(program: string): string {
  return program
    .replace("'./src/index.ts'", `'${new URL('../src/index.ts', import.meta.url).href}'`)
    .replace("'kafkajs'", `'${import.meta.resolve('kafkajs')}'`)
}

async function runProgram(program: string, extension: 'mts' | 'mjs'): Promise<string> {
  const path = join(await tempDirectory(), `hello.${extension}`)
  await writeFile(path, absolute(program))
  return (await run(process.execPath, [path], { timeout: 30_000 })).stdout
}

async function runShell(script: string): Promise<string> {
  const options = { cwd: root, env, timeout: 50_000 }
  return (await run('sh', ['-eu', '-c', script], options)).stdout
}

async function startHere(): Promise<SpawnedBroker> {
  return spawnBroker({ dataDirectory: await tempDirectory() })
}

describe('README.md', () => {
  test('opens with exactly two command lines, and .ci/run runs the second as written', () => {
    expect(readmeCommands()).toEqual(['npm ci && npm start', 'npm ci && npm test'])
    expect(readFileSync(join(root, '.ci/run'), 'utf8')).toContain("'npm ci && npm test'")
  })

  test('the library example starts a broker, writes and reads', async () => {
    const [example] = readmeExamples('Inside your own program', 'ts')
    expect(await runProgram(example, 'mts')).toBe('from the same process\n')
  })

  test('our own client and kafkajs write and read one topic', async () => {
    await using broker = await startHere()
    const here = (example: string) => example.replaceAll('127.0.0.1:9092', broker.bootstrap)
    const [ours] = readmeExamples('Talk to it', 'ts')
    const [kafkajs] = readmeExamples('Talk to it', 'js')
    expect(await runProgram(here(ours), 'mts')).toBe('0 k1 hello, spool\n')
    expect(await runProgram(here(kafkajs), 'mjs')).toBe('partition 0, offset 1\n')
  })

  test('our own group reads what the group has not read yet', async () => {
    await using broker = await startHere()
    const [ours, group] = readmeExamples('Talk to it', 'ts').map(example =>
      example.replaceAll('127.0.0.1:9092', broker.bootstrap),
    )
    await runProgram(ours, 'mts')
    expect(await runProgram(group, 'mts')).toBe('0 hello, spool\n')
    await runProgram(ours, 'mts')
    expect(await runProgram(group, 'mts')).toBe('1 hello, spool\n')
    expect(await runProgram(group, 'mts')).toBe('')
  })

  test('kcat produces, consumes and lists', async context => {
    requireCommand(context, 'kcat')
    await using broker = await startHere()
    const [example] = readmeExamples('Talk to it', 'sh')
    const output = await runShell(example.replaceAll('127.0.0.1:9092', broker.bootstrap))
    expect(output).toContain('one\ntwo\nthree\nv\nthree\nv\n0 1  two\nMetadata for all topics')
  })

  test('the command line creates, produces and consumes; the metrics are where it says', async () => {
    await using broker = await startHere()
    const [, example] = readmeExamples('Talk to it', 'sh')
    const script = example
      .replace(/odradek -- (topics create|produce|consume)/g, `$& --bootstrap ${broker.bootstrap}`)
      .replace(/^curl (.*)$/m, '')
    expect(await runShell(script)).toContain('one\ntwo\n')
    const url = /^curl (.*)$/m.exec(example)?.[1] ?? ''
    const answer = await fetch(url.replace('http://127.0.0.1:8082', broker.httpUrl))
    expect(await answer.text()).toMatch(/^# HELP odradek_/m)
  })

  test('autocannon fires at it, and every answer is a record', async () => {
    await using broker = await startHere()
    const [example] = readmeExamples('Load it', 'sh')
    const script = example.replace('http://127.0.0.1:8082', broker.httpUrl)
    await runShell(script.replace('autocannon', 'autocannon --json -a 500'))
    await using admin = new Admin({ bootstrap: broker.bootstrap })
    // It closes its connections as the last answers come: requests that were still under way are stored, too.
    const [end] = await admin.endOffsets('cannon')
    expect(end).toBeGreaterThanOrEqual(450)
  })
})
