/**
 * System calls that fail (RELIABILITY B5), each fault in turn, injected into a running broker under load:
 *
 *   load -> strace attached: some calls fail -> detached -> what must go on goes on -> kill -9 -> start -> check
 *
 * A failed sync takes its partition offline, a failed write is undone and refused retriable, whatever else fails costs
 * at most the one request: nothing acknowledged is lost, and the process lives.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Errors } from '../../src/protocol/errors.ts'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { type Death, Violation } from './checker.ts'
import { FaultInjector, straceNeeds } from './fault-injector.ts'
import { type Scenario, storageTrouble, type TortureRun } from './scenario.ts'
import { allProducers, durableProducers, Session } from './session.ts'
import { mustLive, notReady, until } from './watch.ts'

export const syscalls: Scenario = {
  name: 'syscalls',
  about: 'EIO, ENOSPC, EINTR, EMFILE on write, sync, open, rename, unlink, read (strace)',
  cycle: 'fault',
  cyclesDefault: 42,
  needs: straceNeeds,
  run: runSyscalls,
}

interface Fault {
  readonly calls: string
  readonly fault: string
  /** A failed sync proves nothing: as after the death of a machine, acks=1 promises nothing any more. */
  readonly death?: Death
  /** At least one partition is offline afterwards. */
  readonly isFailStop?: boolean
  /** It may look like a broken disk, which takes the whole data directory offline. */
  readonly mayStop?: boolean
}

const writes = 'pwrite64,pwritev'

const faults: readonly Fault[] = [
  { calls: 'fdatasync', fault: 'error=EIO:when=1', death: 'machine', isFailStop: true },
  { calls: writes, fault: 'error=ENOSPC:when=2..4' },
  { calls: 'fdatasync', fault: 'error=ENOSPC:when=3', death: 'machine', isFailStop: true },
  { calls: writes, fault: 'error=EINTR:when=1+3' },
  { calls: 'openat', fault: 'error=EMFILE:when=1..20' },
  { calls: 'fsync', fault: 'error=EIO:when=1', death: 'machine' },
  { calls: writes, fault: 'error=EIO:when=2', death: 'machine' },
  { calls: 'openat', fault: 'error=EIO:when=1..3', mayStop: true },
  { calls: 'rename,renameat,renameat2', fault: 'error=EIO:when=1..2' },
  { calls: 'unlink,unlinkat', fault: 'error=EIO:when=1..2' },
  { calls: `${writes},ftruncate`, fault: 'error=ENOSPC:when=2..6', death: 'machine' },
  { calls: 'pread64,preadv', fault: 'error=EIO:when=1..2' },
  { calls: 'fdatasync', fault: 'error=EINTR:when=1..2' },
  { calls: 'fdatasync', fault: 'delay_exit=200000:when=1+4' },
]

const injectMs = 400

async function runSyscalls(run: TortureRun): Promise<void> {
  for (let cycle = 0; cycle < run.cycles; cycle++) {
    const fault = faults[cycle % faults.length]
    await oneFault(run, fault, cycle).catch((error: unknown) => {
      throw new Error(`${fault.calls} ${fault.fault}`, { cause: error })
    })
    run.cycleDone()
  }
}

async function oneFault(run: TortureRun, fault: Fault, cycle: number): Promise<void> {
  const directory = join(run.directory, `fault-${cycle}`)
  const args = ['--set', 'log.retention.check.interval.ms=100']
  // One thread in node's pool: see `when=` above.
  const env = { UV_THREADPOOL_SIZE: String(run.random.pick([1, 4])) }
  let broker = await run.spawn(directory, { args, env })
  const session = await createSession(run, fault, broker)
  session.startLoad(broker.bootstrap)
  await session.progress(500)
  const injected = await inject(run, broker, fault, cycle)
  const what = `${fault.calls} ${fault.fault}`
  mustLive(broker, `after ${injected} times ${what}`)
  run.add('calls that failed', injected)
  run.add('faults that met no call', injected === 0 ? 1 : 0)
  if (fault.isFailStop === true && injected > 0 && (await notReady(broker)) === '') {
    throw new Violation('unexpected', `every partition is online after ${what}`)
  }
  if (fault.death === undefined && fault.mayStop !== true) await session.progress(200)
  await broker.kill9()
  await session.stopLoad()
  broker = await run.spawn(directory, { args })
  await until('every partition is back', async () => (await notReady(broker)) === '')
  await session.check(broker.bootstrap, fault.death ?? 'process')
  await session.checkAll(broker.bootstrap)
  run.addSession(session)
  await broker.stop()
}

async function createSession(
  run: TortureRun,
  fault: Fault,
  broker: SpawnedBroker,
): Promise<Session> {
  return await Session.create(broker.bootstrap, {
    topic: 'syscalls',
    partitionCount: 3,
    configs: new Map([
      ['segment.bytes', '65536'],
      ['retention.bytes', '400000'],
      ['flush.policy', run.random.pick(['group-commit', 'interval'])],
      ['flush.ms', '20'],
    ]),
    producers: fault.death === 'machine' ? durableProducers : allProducers,
    random: run.random,
    allowedErrors: new Set([...storageTrouble, Errors.CORRUPT_MESSAGE]),
    thinkMs: 2,
  })
}

async function inject(
  run: TortureRun,
  broker: SpawnedBroker,
  { calls, fault }: Fault,
  cycle: number,
): Promise<number> {
  const path = join(run.directory, `strace-${cycle}.out`)
  const injector = await FaultInjector.attach(broker.pid, calls, fault, path)
  await delay(injectMs)
  return await injector.detach()
}
