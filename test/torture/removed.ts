/**
 * Files that somebody removes under a running broker (RELIABILITY B7), each kind in turn:
 *
 *   segment     the file that is written to is unlinked
 *   directory   the directory of the partition is removed
 *   mode        chmod 000 on the directory; root is not stopped by that, then only nothing may happen
 *
 * Only that partition suffers: it answers with records that are true or with an error, the others serve as if nothing
 * had happened, the process lives and starts again.
 */
import { chmodSync, readdirSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Errors } from '../../src/protocol/errors.ts'
import { type Scenario, storageTrouble, type TortureRun } from './scenario.ts'
import { allProducers, plainProducers, Session } from './session.ts'
import { mustLive } from './watch.ts'

export const removed: Scenario = {
  name: 'removed',
  about: 'segment or directory removed, or made unreadable, under the broker',
  cycle: 'removal',
  cyclesDefault: 30,
  needs: () => [],
  run: async run => {
    for (let cycle = 0; cycle < run.cycles; cycle++) {
      await oneRemoval(run, kinds[cycle % kinds.length], cycle)
      run.cycleDone()
    }
  },
}

const kinds = ['segment', 'directory', 'mode'] as const
type Kind = (typeof kinds)[number]

const sufferMs = 500
const segmentBytes = new Map([['segment.bytes', '65536']])
/** What the partition may answer whose files are gone. */
const sufferings: ReadonlySet<number> = new Set([
  ...storageTrouble,
  Errors.CORRUPT_MESSAGE,
  Errors.OFFSET_OUT_OF_RANGE,
  Errors.OUT_OF_ORDER_SEQUENCE_NUMBER,
])

async function oneRemoval(run: TortureRun, kind: Kind, cycle: number): Promise<void> {
  const { random } = run
  const directory = join(run.directory, `removal-${cycle}`)
  let broker = await run.spawn(directory)
  const others = await Session.create(broker.bootstrap, {
    topic: 'others',
    partitionCount: 2,
    configs: segmentBytes,
    producers: allProducers,
    random,
    thinkMs: 2,
  })
  const victim = await Session.create(broker.bootstrap, {
    topic: 'victim',
    partitionCount: 1,
    configs: segmentBytes,
    producers: plainProducers,
    random,
    allowedErrors: sufferings,
    thinkMs: 2,
  })
  for (const session of [others, victim]) session.startLoad(broker.bootstrap)
  await Promise.all([others.progress(300), victim.progress(300)])
  breakPartition(join(directory, 'victim-0'), kind)
  await Promise.race([delay(sufferMs), others.failed, victim.failed])
  await others.progress(200)
  mustLive(broker, `after ${kind} was removed`)
  await others.check(broker.bootstrap, null)
  await victim.abandonLoad()
  await broker.kill9()
  await others.stopLoad()
  if (kind === 'mode') chmodSync(join(directory, 'victim-0'), 0o755)
  broker = await run.spawn(directory)
  await others.check(broker.bootstrap, 'process')
  await others.checkAll(broker.bootstrap)
  // With its mode back nothing is missing; what was unlinked is gone, and cannot be checked.
  if (kind === 'mode') await victim.check(broker.bootstrap, 'process')
  others.startLoad(broker.bootstrap)
  await others.progress(100)
  await others.stopLoad()
  for (const session of [others, victim]) run.addSession(session)
  run.add(kind)
  await broker.stop()
}

function breakPartition(directory: string, kind: Kind): void {
  if (kind === 'mode') {
    chmodSync(directory, 0o000)
    return
  }
  if (kind === 'directory') {
    rmSync(directory, { recursive: true, force: true })
    return
  }
  const logs = readdirSync(directory).filter(name => name.endsWith('.log'))
  unlinkSync(join(directory, logs.sort().at(-1) ?? ''))
}
