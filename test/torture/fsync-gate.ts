/**
 * Syncs that fail once and then lie (RELIABILITY B2, V3): ext4 without a journal on a sparse image, on a tmpfs that is
 * too small for it. write() accepts everything; fdatasync fails, then succeeds over pages that were never written, and
 * the page cache shows them all the same.
 *
 *   tmpfs 14 MiB | image 64 MiB, sparse | ext4 | data directory
 *
 * The partition must go offline at the first failure and acknowledge nothing from there on. The file system is then
 * unmounted, which empties the page cache, given room, mounted and served again: whatever acks=all answered is there.
 */
import { Errors, errorName } from '../../src/protocol/errors.ts'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { LoopDisk, loopNeeds, SmallDisk } from './disks.ts'
import { type Scenario, storageTrouble, type TortureRun } from './scenario.ts'
import { durableProducers, Session } from './session.ts'
import { commandNeed } from './shell.ts'
import { mustLive, notReady, until } from './watch.ts'

const mebibyte = 1024 * 1024
const smallBytes = 14 * mebibyte
const imageMiB = 64
const refused = errorName(Errors.KAFKA_STORAGE_ERROR)
/** The file system believes in its 64 MiB: no reserve may stop producers before a sync fails. */
const args = ['--set', 'disk.reserve.bytes=0']

export const fsyncGate: Scenario = {
  name: 'fsyncgate',
  about: 'fdatasync fails, then lies: offline, no false acknowledgement (root, loop devices)',
  cycle: 'failing disk',
  cyclesDefault: 30,
  needs: () => [...loopNeeds(), commandNeed('e2fsck', 'e2fsprogs')],
  run: async run => {
    for (let cycle = 0; cycle < run.cycles; cycle++) {
      await oneFailingDisk(run)
      run.cycleDone()
    }
  },
}

async function oneFailingDisk(run: TortureRun): Promise<void> {
  const { random } = run
  const small = SmallDisk.create(run, 'small', { sizeBytes: smallBytes })
  const disk = LoopDisk.create(run, 'disk', {
    sizeMiB: imageMiB,
    isOvercommitted: true,
    imageDirectory: small.mountPoint,
  })
  let broker = await run.spawn(disk.mountPoint, { args })
  const session = await Session.create(broker.bootstrap, {
    topic: 'fsyncgate',
    partitionCount: 3,
    configs: new Map([
      ['segment.bytes', String(random.pick([262_144, mebibyte]))],
      ['flush.policy', random.pick(['group-commit', 'interval'])],
      ['flush.ms', '20'],
    ]),
    producers: durableProducers,
    random,
    recordsMax: 60,
    allowedErrors: storageTrouble,
  })
  session.startLoad(broker.bootstrap)
  await untilOffline(session, broker)
  mustLive(broker, 'after a failed sync')
  // What is refused stays refused while the disk pretends to be well again.
  const before = session.counts.acked
  await until('more is refused', () => (session.errors.get(refused) ?? 0) > 100)
  run.add('records acknowledged after the first failure', session.counts.acked - before)
  await broker.kill9()
  await session.stopLoad()
  disk.unmount()
  small.resize(`size=${2 * imageMiB * mebibyte}`)
  disk.repair()
  disk.mount()
  broker = await run.spawn(disk.mountPoint, { args })
  await session.check(broker.bootstrap, 'machine')
  await session.checkAll(broker.bootstrap)
  session.startLoad(broker.bootstrap)
  await session.progress(200)
  await session.stopLoad()
  run.addSession(session)
  await broker.stop()
  disk.remove()
  small.remove()
}

async function untilOffline(session: Session, broker: SpawnedBroker): Promise<void> {
  await Promise.race([
    session.failed,
    until('a partition goes offline', async () => {
      if (!session.errors.has(refused)) return false
      return (await notReady(broker)) !== ''
    }),
  ])
}
