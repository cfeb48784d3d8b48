/**
 * Signals (RELIABILITY C3, C4), each kind in turn, under load:
 *
 *   SIGTERM            what is on the way is answered, exit code 0, the next start recovers nothing
 *   SIGTERM twice      the second one ends it at once; what was acknowledged is there
 *   SIGSTOP, SIGCONT   clients give up, connect again and repeat meanwhile: idempotent records are stored once
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { Violation } from './checker.ts'
import { type Scenario, storageTrouble, type TortureRun } from './scenario.ts'
import { allProducers, manyPartitions, Session } from './session.ts'
import { mustLive } from './watch.ts'

const exitMsMax = 20_000
const impatientMs = 700

export const signals: Scenario = {
  name: 'signals',
  about: 'SIGTERM, SIGTERM twice, SIGSTOP and SIGCONT under load',
  cycle: 'signal',
  cyclesDefault: 30,
  needs: () => [],
  run: runSignals,
}

const kinds = ['term', 'term-twice', 'stop'] as const

async function runSignals(run: TortureRun): Promise<void> {
  const { directory, random } = run
  let broker = await run.spawn(directory)
  const session = await Session.create(broker.bootstrap, {
    topic: 'signals',
    ...(run.seed % 2 === 0 ? manyPartitions : { partitionCount: 3 }),
    configs: new Map([['segment.bytes', '262144']]),
    producers: allProducers,
    random,
    // A broker that drains refuses what it has not begun.
    allowedErrors: storageTrouble,
    requestTimeoutMs: impatientMs,
    thinkMs: 3,
  })
  for (let cycle = 0; cycle < run.cycles; cycle++) {
    const kind = kinds[cycle % kinds.length]
    session.startLoad(broker.bootstrap)
    await session.progress(random.between(1, 2000))
    if (kind === 'stop') await standStill(run, broker, session)
    else broker = await terminate(run, broker, session, kind === 'term-twice')
    await session.check(broker.bootstrap, kind === 'stop' ? null : 'process')
    run.add(kind)
    run.cycleDone()
  }
  await session.checkAll(broker.bootstrap)
  run.addSession(session)
  await broker.stop()
}

async function standStill(run: TortureRun, broker: SpawnedBroker, session: Session): Promise<void> {
  process.kill(broker.pid, 'SIGSTOP')
  await delay(run.isShort ? 5000 : 30_000)
  process.kill(broker.pid, 'SIGCONT')
  await session.progress(1000)
  mustLive(broker, 'after SIGCONT')
  await session.stopLoad()
}

async function terminate(
  run: TortureRun,
  broker: SpawnedBroker,
  session: Session,
  isTwice: boolean,
): Promise<SpawnedBroker> {
  broker.child.kill('SIGTERM')
  if (isTwice) {
    await delay(run.random.next() * 10)
    broker.child.kill('SIGTERM')
  }
  const late = delay(exitMsMax, null, { ref: false })
  const exit = await Promise.race([broker.exited, late])
  if (exit === null) throw new Violation('unexpected', `no exit ${exitMsMax} ms after SIGTERM`)
  await session.abandonLoad()
  const isClean = existsSync(join(run.directory, '.kafka_cleanshutdown'))
  // The first one may have been enough; the second one may also come before node can be asked.
  const isExpected = isTwice ? exit.code !== null || exit.signal === 'SIGTERM' : exit.code === 0
  if (!isExpected) throw new Violation('unexpected', `exit ${exit.code ?? exit.signal}`)
  if ((exit.code === 0) !== isClean) {
    throw new Violation('unexpected', `exit ${exit.code}, marked ${isClean ? 'clean' : 'unclean'}`)
  }
  return await run.spawn(run.directory)
}
