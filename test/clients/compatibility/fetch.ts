/**
 * Fetches the clients of other languages for the compatibility tests, each once, into the user's cache directory:
 * kafka-python and confluent-kafka from PyPI, and @confluentinc/kafka-javascript, whose librdkafka is built from the
 * source in its package, because its prebuilt binary is a download from elsewhere. (The Java clients:
 * test/kafka-tools/fetch.ts; kafka-python 2.0.2, kcat: the system's packages.)
 *
 *   node test/clients/compatibility/fetch.ts     exit code 0: all are there, 1: the lines on stderr say what is not
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import {
  confluentDirectory,
  confluentVersion,
  type PythonPackage,
  python,
  pythonDirectory,
  pythonPackages,
} from './places.ts'

const tries = 3
const pipMs = 180_000
/** It compiles librdkafka. */
const buildMs = 600_000

const run = promisify(execFile)

/** Fills a directory by `fill`: whole or not at all. */
async function once(directory: string, fill: (work: string) => Promise<void>): Promise<void> {
  if (existsSync(directory)) return
  const work = `${directory}.${process.pid}`
  mkdirSync(work, { recursive: true })
  try {
    await fill(work)
    // Another process may have been faster.
    if (!existsSync(directory)) renameSync(work, directory)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

async function fetchPython(name: PythonPackage): Promise<void> {
  const { version, alongside } = pythonPackages[name]
  await once(pythonDirectory(name), async work => {
    if (python === null) throw new Error('python3 is not installed')
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    args.push('--only-binary=:all:', '--target', work, `${name}==${version}`, ...alongside)
    await run(python, args, { timeout: pipMs, killSignal: 'SIGKILL' })
  })
}

/** Node's headers, which the native build reads: the npm package of this Node has them beside its binary. */
function nodeHeaders(): readonly string[] {
  const root = dirname(dirname(process.execPath))
  const inPackage = join(root, 'node_modules', `node-${process.platform}-${process.arch}`)
  return [inPackage, root].filter(path => existsSync(join(path, 'include/node/node.h'))).slice(0, 1)
}

async function buildConfluent(): Promise<void> {
  await once(confluentDirectory, async work => {
    writeFileSync(join(work, 'package.json'), '{ "private": true }\n')
    const name = '@confluentinc/kafka-javascript'
    const args = ['install', '--no-audit', '--no-fund', '--no-save', '--omit=optional']
    // Its library is linked to the system's libraries; else it downloads the sources of all of them.
    const env: NodeJS.ProcessEnv = { ...process.env, CKJS_LINKING: 'dynamic' }
    env.PATH = `${dirname(process.execPath)}:${env.PATH}`
    for (const headers of nodeHeaders()) env.npm_config_nodedir = headers
    await run('npm', [...args, `${name}@${confluentVersion}`], {
      cwd: work,
      env,
      timeout: buildMs,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024 * 1024,
    })
    // Compiled; what it was compiled from and with is most of the size.
    const built = join(work, 'node_modules', name)
    for (const directory of ['deps', 'src', 'build/Release/obj.target', 'build/Release/.deps'])
      rmSync(join(built, directory), { recursive: true, force: true })
    await run(process.execPath, ['-e', `require('${name}')`], { cwd: work, timeout: 60_000 })
  })
}

/** The last lines of a failed command say most. */
function reasonOf(error: unknown): string {
  const { message, stderr } = error as Error & { stderr?: string }
  const last = (stderr ?? '').trim().split('\n').slice(-5).join('\n  ')
  return `${message.split('\n')[0]}${last === '' ? '' : `\n  ${last}`}`
}

async function fetchOne(name: string, attempts: number, work: () => Promise<void>): Promise<void> {
  for (let left = attempts; ; left--) {
    try {
      await work()
      process.stdout.write(`${name}: there\n`)
      return
    } catch (error) {
      process.stderr.write(`${name} could not be fetched: ${reasonOf(error)}\n`)
      if (left > 1) continue
      process.exitCode = 1
      return
    }
  }
}

for (const name of Object.keys(pythonPackages) as PythonPackage[])
  await fetchOne(`${name} ${pythonPackages[name].version}`, tries, () => fetchPython(name))
await fetchOne(`@confluentinc/kafka-javascript ${confluentVersion}`, 1, buildConfluent)
