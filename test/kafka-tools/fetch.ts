/**
 * Fetches Apache Kafka with its clients and tools into the user's cache directory, each version once, for the tests of
 * this folder and of test/clients/compatibility. Needs Maven and what it needs of a network; afterwards nothing does.
 *
 *   node test/kafka-tools/fetch.ts     exit code 0: they are there (one line each says where), 1: why not
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { findCommand } from '../support/requires.ts'
import { jarDirectory, type KafkaVersion, kafkaVersions } from './kafka-tools.ts'

const tries = 3
const tryMs = 180_000
/** Fewer cannot be all of it. */
const jarCountMin = 80

/** What each Kafka logs through: group, artifact and version. */
const logging: Readonly<Record<KafkaVersion, readonly [string, string, string]>> = {
  '3.9.1': ['org.slf4j', 'slf4j-reload4j', '1.7.36'],
  '4.1.1': ['org.apache.logging.log4j', 'log4j-slf4j-impl', '2.24.3'],
}

function projectFile(version: KafkaVersion): string {
  const artifacts = [
    ...['kafka_2.13', 'kafka-tools', 'kafka-clients'].map(
      name => ['org.apache.kafka', name, version] as const,
    ),
    logging[version],
  ]
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

async function fetchJars(work: string, version: KafkaVersion): Promise<void> {
  writeFileSync(join(work, 'pom.xml'), projectFile(version))
  const args = ['-B', '-q', '-ntp', '-f', join(work, 'pom.xml')]
  args.push('dependency:copy-dependencies', '-DincludeScope=runtime')
  args.push(`-DoutputDirectory=${join(work, 'jars')}`)
  await promisify(execFile)('mvn', args, { timeout: tryMs, killSignal: 'SIGKILL' })
  const count = readdirSync(join(work, 'jars')).length
  if (count < jarCountMin) throw new Error(`Maven brought only ${count} jars`)
}

async function fetchOnce(version: KafkaVersion): Promise<void> {
  const directory = jarDirectory(version)
  if (existsSync(directory)) return
  for (const command of ['java', 'mvn'])
    if (findCommand(command) === null)
      throw new Error(`${command} is not installed: apt-get install maven`)
  const work = `${directory}.${process.pid}`
  mkdirSync(work, { recursive: true })
  try {
    for (let left = tries; ; left--) {
      try {
        await fetchJars(work, version)
        break
      } catch (error) {
        const { message } = error as Error
        if (left === 1) throw error
        process.stderr.write(`${message.trim().split('\n').slice(0, 3).join(' ')}: trying again\n`)
      }
    }
    mkdirSync(dirname(directory), { recursive: true })
    // Whole or not at all; another process may have been faster.
    if (!existsSync(directory)) renameSync(join(work, 'jars'), directory)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

for (const version of kafkaVersions) {
  try {
    await fetchOnce(version)
    process.stdout.write(`${jarDirectory(version)}\n`)
  } catch (error) {
    process.stderr.write(`Kafka ${version} could not be fetched: ${(error as Error).message}\n`)
    process.exitCode = 1
  }
}
