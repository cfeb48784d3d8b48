/**
 * Full disks (RELIABILITY B3, B4), each kind in turn, on a small tmpfs:
 *
 *   space     a ballast file leaves a few MiB          cured by removing it
 *   inodes    nr_inodes= leaves a few files            cured by allowing more
 *   limit     prlimit --fsize: files may not grow on   cured by lifting it
 *
 * While it is full, produce is refused retriable and readers go on; once it is cured, the broker takes records again by
 * itself. Nothing acknowledged is lost, also through kill -9 in that state.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { SmallDisk } from './disks.ts'
import { fileNeed, rootNeed, type Scenario, storageTrouble, type TortureRun } from './scenario.ts'
import { allProducers, Session } from './session.ts'
import { commandNeed, sh } from './shell.ts'
import { mustLive, until } from './watch.ts'

const mebibyte = 1024 * 1024
const diskBytes = 64 * mebibyte
/** Leaves room for the broker's own files and some records. */
const ballastBytes = 56 * mebibyte
const reserveBytes = mebibyte
const reserve = ['--set', `disk.reserve.bytes=${reserveBytes}`]
const full = errorName(Errors.KAFKA_STORAGE_ERROR)

export const diskFull: Scenario = {
  name: 'diskfull',
  about: 'no space, no inodes, a file size limit: read-only, then on again by itself (root, tmpfs)',
  cycle: 'full disk',
  cyclesDefault: 30,
  needs: () => [
    rootNeed(),
    fileNeed('/proc/mounts', 'Linux'),
    commandNeed('prlimit', 'util-linux'),
  ],
  run: runDiskFull,
}

interface Kind {
  readonly name: 'space' | 'inodes' | 'limit'
  readonly segmentBytes: number
  /** Makes the disk full, or lets the load do so. */
  fill(disk: SmallDisk, broker: SpawnedBroker): void
  cure(disk: SmallDisk, broker: SpawnedBroker): void
}

const ballast = (disk: SmallDisk) => join(disk.mountPoint, 'ballast')

const kinds: readonly Kind[] = [
  {
    name: 'space',
    segmentBytes: 262_144,
    fill: disk => writeFileSync(ballast(disk), Buffer.alloc(ballastBytes)),
    cure: disk => rmSync(ballast(disk)),
  },
  {
    name: 'inodes',
    segmentBytes: 32_768,
    fill: disk => disk.resize('nr_inodes=80'),
    cure: disk => disk.resize('nr_inodes=4000'),
  },
  {
    name: 'limit',
    segmentBytes: 8 * mebibyte,
    fill: (_, { pid }) => void sh('prlimit', `--pid=${pid}`, '--fsize=300000:unlimited'),
    cure: (_, { pid }) => void sh('prlimit', `--pid=${pid}`, '--fsize=unlimited:unlimited'),
  },
]

async function runDiskFull(run: TortureRun): Promise<void> {
  for (let cycle = 0; cycle < run.cycles; cycle++) {
    await oneFullDisk(run, kinds[cycle % kinds.length], cycle)
    run.cycleDone()
  }
}

async function oneFullDisk(run: TortureRun, kind: Kind, cycle: number): Promise<void> {
  const { random } = run
  const disk = SmallDisk.create(run, 'disk', { sizeBytes: diskBytes, inodes: 4000 })
  let broker = await run.spawn(disk.mountPoint, { args: reserve })
  const session = await Session.create(broker.bootstrap, {
    topic: `full-${kind.name}`,
    partitionCount: 3,
    configs: new Map([
      ['segment.bytes', String(kind.segmentBytes)],
      ['flush.policy', random.pick(['group-commit', 'interval', 'os'])],
      ['flush.ms', '50'],
    ]),
    producers: allProducers,
    random,
    recordsMax: 60,
    allowedErrors: storageTrouble,
  })
  kind.fill(disk, broker)
  session.startLoad(broker.bootstrap)
  await isRefused(session, 20)
  mustLive(broker, `when the disk was full (${kind.name})`)
  await session.check(broker.bootstrap, null)
  // Every second time it dies in that state, and starts in it.
  if (Math.floor(cycle / kinds.length) % 2 === 1 && kind.name === 'space') {
    await broker.kill9()
    await session.stopLoad()
    kind.cure(disk, broker)
    broker = await run.spawn(disk.mountPoint, { args: reserve })
    await session.check(broker.bootstrap, 'process')
    session.startLoad(broker.bootstrap)
    await session.progress(300)
  } else {
    kind.cure(disk, broker)
    await goesOn(session, kind)
  }
  await session.stopLoad()
  await broker.kill9()
  broker = await run.spawn(disk.mountPoint, { args: reserve })
  await session.check(broker.bootstrap, 'process')
  await session.checkAll(broker.bootstrap)
  run.addSession(session)
  run.add(kind.name)
  await broker.stop()
  disk.remove()
}

async function isRefused(session: Session, count: number): Promise<void> {
  await Promise.race([
    session.failed,
    until(`${count} refused requests`, () => (session.errors.get(full) ?? 0) >= count),
  ])
}

/** By itself, and on every partition: the load draws them at random. */
async function goesOn(session: Session, kind: Kind): Promise<void> {
  await session.progress(200)
  await delay(100)
  const before = session.places.map(({ checker }) => checker.ackedCount)
  await Promise.race([
    session.failed,
    until(`every partition takes records again (${kind.name})`, () =>
      session.places.every(({ checker }, i) => checker.ackedCount > before[i]),
    ),
  ])
}
