/** Every client of the compatibility table, in its order. Each has a file `<id>.compat.ts`. */
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { platformaticMissing } from '../producers.ts'
import type { ClientDriver } from './driver.ts'
import { javaDrivers } from './java-drivers.ts'
import { kcatDriver } from './kcat-driver.ts'
import { confluentDirectory } from './places.ts'
import { processDriver } from './process-driver.ts'
import { pythonDrivers } from './python-drivers.ts'

const serveDriver = fileURLToPath(new URL('serve-driver.ts', import.meta.url))

/** A client of the Node world, whose calls are in `${id}-calls.ts`. */
const nodeDriver = (id: string, title: string, missing: ClientDriver['missing']) =>
  processDriver({ id, title, missing, command: () => [process.execPath, serveDriver, id] })

export const clientDrivers: readonly ClientDriver[] = [
  kcatDriver,
  nodeDriver('kafkajs', 'kafkajs', () => null),
  nodeDriver('platformatic', '@platformatic/kafka', () => platformaticMissing),
  nodeDriver('confluent-javascript', '@confluentinc/kafka-javascript', () =>
    existsSync(confluentDirectory)
      ? null
      : [
          '@confluentinc/kafka-javascript is not built',
          'apt-get install g++ make python3 libcurl4-openssl-dev libssl-dev libzstd-dev zlib1g-dev && ' +
            'node test/clients/compatibility/fetch.ts',
        ],
  ),
  ...pythonDrivers,
  ...javaDrivers,
]

/** @throws when there is none of that id. */
export function driverOf(id: string): ClientDriver {
  const driver = clientDrivers.find(one => one.id === id)
  if (driver === undefined) throw new Error(`no client ${id}`)
  return driver
}
