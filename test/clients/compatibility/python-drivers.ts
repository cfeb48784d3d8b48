/** The clients in Python: kafka-python as Debian and as PyPI have it, and confluent-kafka, a recent librdkafka. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ClientDriver } from './driver.ts'
import { hasModule, type PythonPackage, python, pythonDirectory } from './places.ts'
import { processDriver } from './process-driver.ts'

const fetching = 'apt-get install python3-pip && node test/clients/compatibility/fetch.ts'

const command = (program: string) => () => [
  python ?? 'python3',
  fileURLToPath(new URL(program, import.meta.url)),
]

/** A package of PyPI, from the directory that fetch.ts fills. */
function fetched(id: string, title: string, name: PythonPackage, program: string): ClientDriver {
  const directory = pythonDirectory(name)
  return processDriver({
    id,
    title,
    missing: () =>
      existsSync(directory) && python !== null ? null : [`${name} of PyPI is not there`, fetching],
    command: command(program),
    env: { PYTHONPATH: directory },
  })
}

export const pythonDrivers: readonly ClientDriver[] = [
  processDriver({
    id: 'kafka-python-2.0',
    title: 'kafka-python',
    missing: () =>
      hasModule('kafka, lz4, snappy, zstandard')
        ? null
        : [
            "Debian's kafka-python is not installed",
            'apt-get install python3-kafka python3-lz4 python3-snappy python3-zstandard',
          ],
    command: command('kafka_python_driver.py'),
  }),
  fetched('kafka-python-3', 'kafka-python', 'kafka-python', 'kafka_python_driver.py'),
  fetched('confluent-kafka', 'confluent-kafka', 'confluent-kafka', 'confluent_driver.py'),
]
