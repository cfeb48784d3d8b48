/** Apache Kafka's Java clients, from the jars that test/kafka-tools/fetch.ts fetches; Driver.java is compiled once. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  jarDirectory,
  jvmTuning,
  type KafkaVersion,
  kafkaVersions,
} from '../../kafka-tools/kafka-tools.ts'
import { findCommand } from '../../support/requires.ts'
import type { ClientDriver } from './driver.ts'
import { driverClassDirectory } from './places.ts'
import { processDriver } from './process-driver.ts'

const source = fileURLToPath(new URL('Driver.java', import.meta.url))
const compileMs = 120_000

const jarsOf = (version: KafkaVersion) => join(jarDirectory(version), '*')

/** @returns the directory of its classes. */
function compiled(version: KafkaVersion): string {
  const key = createHash('sha256').update(readFileSync(source)).digest('hex').slice(0, 12)
  const directory = driverClassDirectory(version, key)
  if (existsSync(directory)) return directory
  const work = `${directory}.${process.pid}`
  mkdirSync(work, { recursive: true })
  try {
    // 4.x marks calls for removal that 3.9 has no other for.
    const args = ['-nowarn', '-Xlint:-removal', '-Xlint:-deprecation', '-d', work]
    const options = { timeout: compileMs, stdio: 'pipe' } as const
    execFileSync('javac', [...args, '-cp', jarsOf(version), source], options)
    // Another process may have been faster.
    if (!existsSync(directory)) renameSync(work, directory)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
  return directory
}

function missing(version: KafkaVersion): readonly [string, string] | null {
  const isThere = existsSync(jarDirectory(version)) && findCommand('javac') !== null
  const cure = 'apt-get install maven default-jdk-headless && node test/kafka-tools/fetch.ts'
  return isThere ? null : [`Kafka's Java clients ${version} are not there`, cure]
}

const javaDriver = (version: KafkaVersion): ClientDriver =>
  processDriver({
    id: `java-${version.split('.').slice(0, 2).join('.')}`,
    title: 'Apache Kafka, Java',
    missing: () => missing(version),
    command: () => {
      const classPath = [compiled(version), jarsOf(version)].join(delimiter)
      return ['java', '-Xmx256m', ...jvmTuning, '-cp', classPath, 'Driver']
    },
  })

export const javaDrivers: readonly ClientDriver[] = kafkaVersions.map(javaDriver)
