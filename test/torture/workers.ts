/**
 * Owner threads die (RELIABILITY C5, P10): the broker runs in this process, one of its threads is terminated at a
 * random moment under load. Its partitions come back with all they promised, acks=1 included; the others notice
 * nothing.
 */
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import type { Broker } from '../../src/broker.ts'
import { Errors } from '../../src/protocol/errors.ts'
import type { Scenario, TortureRun } from './scenario.ts'
import { allProducers, Session } from './session.ts'
import { until } from './watch.ts'

/** A fifth death within a minute and the owner's partitions stay offline. */
const deathsOfOwnerMax = 4
const ownerCount = 2

export const workers: Scenario = {
  name: 'workers',
  about: 'owner threads terminated under load, the broker in this process',
  cycle: 'death of a thread',
  cyclesDefault: 200,
  needs: () => [],
  run: runWorkers,
}

async function runWorkers(run: TortureRun): Promise<void> {
  const { random } = run
  let broker = await launch(run)
  const session = await Session.create(broker.bootstrap, {
    topic: 'workers',
    partitionCount: 4,
    configs: new Map([['segment.bytes', '131072']]),
    producers: allProducers,
    random,
    allowedErrors: new Set([Errors.NOT_LEADER_OR_FOLLOWER]),
    thinkMs: 4,
  })
  session.startLoad(broker.bootstrap)
  for (let cycle = 0; cycle < run.cycles; cycle++) {
    if (cycle > 0 && cycle % (deathsOfOwnerMax * ownerCount) === 0) {
      await session.stopLoad()
      await session.checkAll(broker.bootstrap)
      await broker.close()
      broker = await launch(run)
      session.startLoad(broker.bootstrap)
    }
    await Promise.race([delay(random.next() * 300), session.failed])
    await kill(broker, cycle % ownerCount)
    await session.progress(300)
    await session.check(broker.bootstrap, null)
    run.cycleDone()
  }
  await session.stopLoad()
  await session.checkAll(broker.bootstrap)
  run.addSession(session)
  await broker.close()
}

async function kill(broker: Broker, ownerIndex: number): Promise<void> {
  const { host } = broker.parts
  const owner = host.owners[ownerIndex]
  const deaths = owner.crashes.length
  await owner.terminate()
  await until('the thread is started again', () => owner.crashes.length > deaths)
  const isOnline = () => [...host.partitions()].every(({ state }) => state === 'online')
  await until('every partition is online again', isOnline)
}

/** In the checkout of the broker that is asked for. */
async function launch(run: TortureRun): Promise<Broker> {
  const source = dirname(run.entry)
  const load = (file: string) => import(pathToFileURL(join(source, file)).href)
  const { startBrokerWith } = (await load('broker.ts')) as typeof import('../../src/broker.ts')
  const { loadConfig } = (await load(
    'config/config.ts',
  )) as typeof import('../../src/config/config.ts')
  const flags = {
    kafka: '127.0.0.1:0',
    http: '127.0.0.1:0',
    dataDir: join(run.directory, 'data'),
    workers: ownerCount,
    logLevel: 'silent',
  }
  const broker = await startBrokerWith(loadConfig({ flags }), { http: false })
  run.onEnd(() => broker.close())
  return broker
}
