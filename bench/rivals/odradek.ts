/**
 * odradek itself, measured as its rivals are: by the load generator of the Kafka protocol and by autocannon, each a
 * process of its own (src/load), over one connection and over twenty. Rows and settings are those of src/load/paper.ts.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Admin } from '../../src/client/admin.ts'
import { type LoadResult, runLoadProcess } from '../../src/load/load-process.ts'
import {
  type PaperDriver,
  type PaperLimits,
  type PaperRow,
  type PaperStep,
  paperBatches,
  paperDrivers,
  paperHttpLoad,
  paperRecordBytes,
  paperRows,
  paperWireLoad,
} from '../../src/load/paper.ts'
import { inFlightOf } from '../../src/load/wire-produce.ts'
import { packageVersion } from '../../src/version.ts'
import { startServer } from '../server-process.ts'
import { cpuSecondsOf, processTree, rssBytesOf } from './broker-processes.ts'
import type { Level, Load, LoadFigures, Rival, RivalCase, RunningRival } from './rival.ts'

const levelOf: Readonly<Record<PaperRow['name'], Level>> = {
  paper: 'fire',
  'acks=1': 'answered',
  'acks=all': 'synced',
}

const endWaitMs = 15_000
const endLookMs = 50

/** One row of the report for each driver. */
export const odradeks: readonly Rival[] = paperDrivers.map(driver => ({
  name: nameOf(driver),
  driver: driver.driver === 'wire' ? "the project's Kafka load generator" : 'autocannon',
  consuming:
    driver.driver === 'wire'
      ? 'fetches of up to 200 KB, nothing committed'
      : 'GET .../records of up to 200 KB',
  clientBound: driver.driver === 'http' ? 'autocannon parses every answer in JavaScript' : null,
  cases: paperRows.flatMap(row => paperBatches.map(batch => caseOf(row, batch, driver))),
  prepare: async () => packageVersion(),
  start: async (rivalCase, directory) => await start(driver, rivalCase, directory),
}))

function nameOf({ driver, connectionCount }: PaperDriver): string {
  if (driver === 'wire') return 'odradek, Kafka protocol'
  return `odradek, HTTP, ${connectionCount} connection${connectionCount === 1 ? '' : 's'}`
}

function caseOf(row: PaperRow, batch: number, driver: PaperDriver): RivalCase {
  const configs = [...row.topicConfigs].map(([name, value]) => `${name}=${value}`).join(', ')
  const acks = row.acks === -1 ? 'all' : row.acks
  const inFlight =
    driver.driver === 'wire' ? inFlightOf(batch, paperRecordBytes) : driver.pipelining
  return {
    level: levelOf[row.name],
    batch,
    durability:
      `acks=${acks}, ${configs}; ${driver.connectionCount} connection(s), ` +
      `${inFlight} requests in flight on each`,
    consumes: row.name === 'paper' && batch === 50,
  }
}

async function start(
  driver: PaperDriver,
  rivalCase: RivalCase,
  directory: string,
): Promise<RunningRival> {
  mkdirSync(directory, { recursive: true })
  const server = await startServer({
    kind: 'odradek',
    directory: join(directory, 'server'),
    gcProbe: false,
    odradekArguments: [],
    profileDirectory: null,
  })
  const row = paperRows.find(({ name }) => levelOf[name] === rivalCase.level)!
  const url = `http://${/http=(\S+)/.exec(server.readyLine)?.[1]}`
  const run = async (load: Load, step: PaperStep): Promise<LoadFigures> => {
    const limits = { topic: load.queue, messages: load.messages, seconds: load.seconds }
    return figuresOf(await runLoad(server, url, row, driver, step, limits))
  }
  return {
    processes: {
      get cpuSeconds() {
        return cpuSecondsOf(processTree([server.pid]))
      },
      get rssBytes() {
        return rssBytesOf(processTree([server.pid]))
      },
    },
    dataDirectory: join(directory, 'server', 'data'),
    produce: async load => {
      const { queue } = load
      await using admin = new Admin({ bootstrap: `${server.host}:${server.port}` })
      await admin.createTopic({ name: queue, partitions: 1, configs: row.topicConfigs })
      const figures = await run(load, { mode: 'produce', recordsPerBatch: rivalCase.batch })
      await expectRecords(admin, queue, figures.storedMessages ?? Number.NaN)
      return figures
    },
    consume: load => run(load, { mode: 'consume', recordsPerBatch: rivalCase.batch }),
    stop: () => server.stop(),
  }
}

async function runLoad(
  server: { readonly host: string; readonly port: number },
  url: string,
  { acks }: PaperRow,
  driver: PaperDriver,
  step: PaperStep,
  limits: PaperLimits,
): Promise<LoadResult> {
  if (driver.driver === 'http') {
    const load = paperHttpLoad(url, acks, driver, step, limits, limits.messages)
    return await runLoadProcess('http', load)
  }
  const load = paperWireLoad(server, acks, driver, step, limits)
  return await runLoadProcess('wire', load)
}

function figuresOf(result: LoadResult): LoadFigures {
  const { messages, messagesInAll, seconds, samples, generatorCpuSeconds } = result
  const end = { messages, seconds }
  const before = samples.filter(sample => sample.seconds < seconds && sample.messages > 0)
  const curve = [...before, end]
  // The window ends with the first answer beyond the wanted messages; what was on its way is stored as well.
  return { ...end, storedMessages: messagesInAll, curve, clientCpuSeconds: generatorCpuSeconds }
}

/** Waits until the topic ends where it must: readable means flushed, seconds later in the paper's row. */
async function expectRecords(admin: Admin, topic: string, records: number): Promise<void> {
  const untilMs = performance.now() + endWaitMs
  for (;;) {
    const [end] = await admin.endOffsets(topic)
    if (end === records) return
    if ((end ?? 0) > records || performance.now() > untilMs) {
      throw new Error(`${records} messages were counted, the log holds ${end}`)
    }
    await sleep(endLookMs)
  }
}
