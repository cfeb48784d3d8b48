/**
 * Load tools that Debian does not have, each fetched once by the package manager it is published for, into
 * node_modules/.cache: RabbitMQ's PerfTest and Apache Kafka by Maven, the NATS command line by Go. By hand:
 *
 *   node bench/rivals/fetch.ts     fetches all of them; one line each says where it is or why not
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { findCommand } from '../../test/support/requires.ts'
import { MissingRival } from './rival.ts'

const root = join(import.meta.dirname, '..', '..')
const cache = join(root, 'node_modules', '.cache', 'odradek-rivals')
const fetchTimeoutMs = 400_000
const run = promisify(execFile)

type Artifact = readonly [group: string, artifact: string, version: string]

export const perfTestVersion = '2.22.1'
export const kafkaVersion = '4.1.1'
export const natsToolVersion = 'v0.1.5'

/** @returns a class path of PerfTest and what it needs. */
export async function fetchPerfTest(): Promise<string> {
  return await fetchJars(`perf-test-${perfTestVersion}`, [
    ['com.rabbitmq', 'perf-test', perfTestVersion],
  ])
}

/** @returns a class path of a Kafka node and its tools. */
export async function fetchKafka(): Promise<string> {
  const names = ['kafka_2.13', 'kafka-tools', 'kafka-clients']
  return await fetchJars(`kafka-${kafkaVersion}`, [
    ...names.map((name): Artifact => ['org.apache.kafka', name, kafkaVersion]),
    ['org.apache.logging.log4j', 'log4j-slf4j-impl', '2.24.3'],
  ])
}

/** @returns the path of the `nats` command. */
export async function fetchNatsTool(): Promise<string> {
  const directory = join(cache, `nats-${natsToolVersion}`)
  const place = await once(directory, async work => {
    const go = requireCommand('go', 'golang')
    const target = `github.com/nats-io/natscli/nats@${natsToolVersion}`
    await run(go, ['install', target], {
      timeout: fetchTimeoutMs,
      env: { ...process.env, GOBIN: work, GOFLAGS: '-mod=mod' },
    })
  })
  return join(place, 'nats')
}

/** @returns its path. Throws a MissingRival that says what to install. */
export function requireCommand(command: string, packageName: string): string {
  const path = findCommand(command)
  if (path === null) throw new MissingRival(`${command} (apt-get install ${packageName})`)
  return path
}

/** @returns `path`. Throws a MissingRival when it is not there. */
export function requireFile(path: string, packageName: string): string {
  if (existsSync(path)) return path
  throw new MissingRival(`${path} (apt-get install ${packageName})`)
}

async function fetchJars(name: string, artifacts: readonly Artifact[]): Promise<string> {
  requireCommand('java', 'openjdk-17-jdk-headless')
  const place = await once(join(cache, name), async work => {
    const maven = requireCommand('mvn', 'maven')
    const project = join(work, 'pom.xml')
    writeFileSync(project, projectFile(artifacts))
    const args = ['-B', '-q', '-ntp', '-f', project, 'dependency:copy-dependencies']
    const copy = ['-DincludeScope=runtime', `-DoutputDirectory=${join(work, 'jars')}`]
    await run(maven, [...args, ...copy], { timeout: fetchTimeoutMs })
    if (readdirSync(join(work, 'jars')).length === 0) throw new Error('Maven brought no jar')
  })
  return join(place, 'jars', '*')
}

function projectFile(artifacts: readonly Artifact[]): string {
  const dependencies = artifacts.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
      `<version>${version}</version></dependency>`,
  )
  return `<project>
<modelVersion>4.0.0</modelVersion>
<groupId>odradek.bench</groupId><artifactId>rivals</artifactId><version>1</version>
<dependencies>${dependencies.join('')}</dependencies>
</project>
`
}

/** Runs `fill` on a directory beside `directory`, which is there whole or not at all. */
async function once(directory: string, fill: (work: string) => Promise<void>): Promise<string> {
  if (existsSync(directory)) return directory
  const work = `${directory}.${process.pid}`
  mkdirSync(work, { recursive: true })
  try {
    await fill(work)
    mkdirSync(dirname(directory), { recursive: true })
    // Another process may have been faster.
    if (!existsSync(directory)) renameSync(work, directory)
    return directory
  } catch (error) {
    if (error instanceof MissingRival) throw error
    const [line] = (error as Error).message.trim().split('\n').slice(-1)
    throw new MissingRival(`${directory.split('/').pop()}, which could not be fetched: ${line}`)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  for (const fetchOne of [fetchPerfTest, fetchKafka, fetchNatsTool]) {
    try {
      process.stdout.write(`${await fetchOne()}\n`)
    } catch (error) {
      process.stderr.write(`missing: ${(error as Error).message}\n`)
      process.exitCode = 1
    }
  }
}
