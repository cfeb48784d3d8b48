/**
 * Where the clients of other languages live that fetch.ts brings, and whether they are there: Python packages, the Node
 * binding of librdkafka, the jars of test/kafka-tools. All in the user's cache directory, outside node_modules, which
 * `npm ci` empties.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { findCommand } from '../../support/requires.ts'

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'odradek')

/** Packages from PyPI with the codecs they look for, each in a directory of its own: `PYTHONPATH` chooses. */
export const pythonPackages = {
  'kafka-python': {
    version: '3.0.12',
    alongside: ['lz4==4.4.5', 'zstandard==0.25.0', 'python-snappy==0.7.3', 'crc32c==2.9.post0'],
  },
  'confluent-kafka': { version: '2.16.1', alongside: [] },
} as const
export type PythonPackage = keyof typeof pythonPackages

export const confluentVersion = '1.10.1'

export function pythonDirectory(name: PythonPackage): string {
  return join(cache, `${name}-${pythonPackages[name].version}`)
}

/** The binding is built for one version of Node's native interface. */
export const confluentDirectory = join(
  cache,
  `kafka-javascript-${confluentVersion}-abi${process.versions.modules}`,
)

/** Compiled for one version of the Java clients from one text of Driver.java, which `key` stands for. */
export function driverClassDirectory(kafkaVersion: string, key: string): string {
  return join(cache, `driver-${kafkaVersion}-${key}`)
}

/** Debian's Python first, for Debian's packages are seen by no other. */
export const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : findCommand('python3')

/** @returns whether that Python has the module, which may be slow to ask: once a run. */
export function hasModule(module: string): boolean {
  if (python === null) return false
  const { status } = spawnSync(python, ['-c', `import ${module}`], { timeout: 60_000 })
  return status === 0
}
