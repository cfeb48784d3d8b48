/**
 * Fetches Apache Kafka with its tools into the user's cache directory, for the tests of this folder, once. Needs Maven
 * and what Maven needs of a network; afterwards nothing here does.
 *
 *   node test/kafka-tools/fetch.ts     exit code 0: they are there (the last line says where), 1: why not
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { findCommand } from '../support/requires.ts'
import { jarDirectory, kafkaVersion } from './kafka-tools.ts'

const tries = 3
const tryMs = 180_000
/** Fewer cannot be all of it. */
const jarCountMin = 80

/** Group, artifact and version; Kafka's tools log through the last one. */
const artifacts = [
  ['org.apache.kafka', 'kafka_2.13', kafkaVersion],
  ['org.apache.kafka', 'kafka-tools', kafkaVersion],
  ['org.apache.kafka', 'kafka-clients', kafkaVersion],
  ['org.slf4j', 'slf4j-reload4j', '1.7.36'],
] as const

function projectFile(): string {
  const dependencies = artifacts.map(
    ([group, artifact, version]) =>
      `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
      `<version>${version}</version></dependency>`,
  )
  return `<project>
<modelVersion>4.0.0</modelVersion>
<groupId>odradek.test</groupId><artifactId>kafka-tools</artifactId><version>1</version>
<dependencies>${dependencies.join('')}</dependencies>
</project>
`
}

async function fetchJars(work: string): Promise<void> {
  writeFileSync(join(work, 'pom.xml'), projectFile())
  const args = ['-B', '-q', '-ntp', '-f', join(work, 'pom.xml')]
  args.push('dependency:copy-dependencies', '-DincludeScope=runtime')
  args.push(`-DoutputDirectory=${join(work, 'jars')}`)
  await promisify(execFile)('mvn', args, { timeout: tryMs, killSignal: 'SIGKILL' })
  const count = readdirSync(join(work, 'jars')).length
  if (count < jarCountMin) throw new Error(`Maven brought only ${count} jars`)
}

async function main(): Promise<void> {
  if (existsSync(jarDirectory)) return
  for (const command of ['java', 'mvn'])
    if (findCommand(command) === null)
      throw new Error(`${command} is not installed: apt-get install maven`)
  const work = `${jarDirectory}.${process.pid}`
  mkdirSync(work, { recursive: true })
  try {
    for (let left = tries; ; left--) {
      try {
        await fetchJars(work)
        break
      } catch (error) {
        const { message } = error as Error
        if (left === 1) throw error
        process.stderr.write(`${message.trim().split('\n').slice(0, 3).join(' ')}: trying again\n`)
      }
    }
    mkdirSync(dirname(jarDirectory), { recursive: true })
    // Whole or not at all; another process may have been faster.
    if (!existsSync(jarDirectory)) renameSync(join(work, 'jars'), jarDirectory)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

try {
  await main()
  process.stdout.write(`${jarDirectory}\n`)
} catch (error) {
  process.stderr.write(`Kafka's tools could not be fetched: ${(error as Error).message}\n`)
  process.exitCode = 1
}
