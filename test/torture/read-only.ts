/**
 * A file system that becomes read-only under load (RELIABILITY B6), as ext4 does by itself after an error: every write
 * and sync is refused from then on. Partitions go offline, the process lives, readers go on; after repair and restart
 * everything acknowledged is there.
 *
 * The broker stands still for the moment of the change, with all it wrote synced: a sync that is under way while ext4
 * gives up reports success for what it has not written.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { LoopDisk, loopNeeds } from './disks.ts'
import { type Scenario, storageTrouble, type TortureRun } from './scenario.ts'
import { allProducers, Session } from './session.ts'
import { commandNeed } from './shell.ts'
import { mustLive, notReady, until } from './watch.ts'

const refused = errorName(Errors.KAFKA_STORAGE_ERROR)
const frozenMs = 20

export const readOnly: Scenario = {
  name: 'readonly',
  about: 'the file system becomes read-only under load (root, loop devices)',
  cycle: 'read-only disk',
  cyclesDefault: 20,
  needs: () => [...loopNeeds(), commandNeed('e2fsck', 'e2fsprogs')],
  run: async run => {
    for (let cycle = 0; cycle < run.cycles; cycle++) {
      await oneReadOnlyDisk(run)
      run.cycleDone()
    }
  },
}

async function oneReadOnlyDisk(run: TortureRun): Promise<void> {
  const { random } = run
  const disk = LoopDisk.create(run, 'disk', { sizeMiB: 128 })
  let broker = await run.spawn(disk.mountPoint)
  const session = await Session.create(broker.bootstrap, {
    topic: 'readonly',
    partitionCount: 3,
    configs: new Map([
      ['segment.bytes', '262144'],
      ['flush.policy', random.pick(['group-commit', 'interval'])],
      ['flush.ms', '20'],
    ]),
    producers: allProducers,
    random,
    allowedErrors: storageTrouble,
    thinkMs: 2,
  })
  session.startLoad(broker.bootstrap)
  await session.progress(random.between(200, 3000))
  process.kill(broker.pid, 'SIGSTOP')
  await delay(frozenMs)
  disk.becomeReadOnly()
  process.kill(broker.pid, 'SIGCONT')
  await Promise.race([
    session.failed,
    until('produce is refused', () => (session.errors.get(refused) ?? 0) > 30),
  ])
  mustLive(broker, 'on a read-only file system')
  await until('partitions are offline', async () => (await notReady(broker)) !== '')
  await session.check(broker.bootstrap, null)
  await broker.kill9()
  await session.stopLoad()
  disk.unmount()
  disk.repair()
  disk.mount()
  broker = await run.spawn(disk.mountPoint)
  await session.check(broker.bootstrap, 'process')
  await session.checkAll(broker.bootstrap)
  session.startLoad(broker.bootstrap)
  await session.progress(200)
  await session.stopLoad()
  run.addSession(session)
  await broker.stop()
  disk.remove()
}
