/**
 * Consumer groups (RELIABILITY P7, P8, F3; invariants 11 and 12): members commit what they have processed, while they
 * and the broker are killed, members stand still longer than their session, and in the second scenario the disk loses
 * its power.
 *
 *   start -> check -> load, a member is killed or stopped -> the broker dies (or not) -> start ...
 *
 * No acknowledged commit is lost or goes back, none is above the high watermark, whoever is of an older generation
 * commits nothing, and what lies below a commit was processed by somebody.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { WireClient } from '../support/wire-client.ts'
import type { Death } from './checker.ts'
import { ioctlNeed, LoopDisk, loopNeeds } from './disks.ts'
import { GroupLoad } from './group-load.ts'
import type { Scenario, TortureRun } from './scenario.ts'
import { Session } from './session.ts'

const topic = 'orders'
const partitionCount = 4
/** Longer than the session of a member. */
const standStillMs = 2500
const caughtUpMs = 60_000
/** Members are dynamic, static, and both. */
const instanceIds = [
  [null, null, null],
  ['one', 'two', null],
]

export const groups: Scenario = {
  name: 'groups',
  about:
    'kill -9 of the broker and of group members: no commit is lost, goes back or is not fenced',
  cycle: 'death of the broker or of a member',
  cyclesDefault: 300,
  needs: () => [],
  run: run => runGroups(run, kill9Machine(run)),
}

export const groupsPowerCut: Scenario = {
  name: 'groupscut',
  about: 'the same through power cuts of a real ext4 (root, loop devices)',
  cycle: 'power cut or death of a member',
  cyclesDefault: 200,
  needs: () => [...loopNeeds(), ioctlNeed()],
  run: run => runGroups(run, powerCutMachine(run)),
}

/** How the broker dies. */
interface Machine {
  readonly death: Death
  readonly dataDirectory: string
  crash(broker: SpawnedBroker): Promise<void>
}

function kill9Machine(run: TortureRun): Machine {
  const crash = (broker: SpawnedBroker) => broker.kill9()
  return { death: 'process', dataDirectory: join(run.directory, 'data'), crash }
}

function powerCutMachine(run: TortureRun): Machine {
  const disk = LoopDisk.create(run, 'disk', { sizeMiB: 256 })
  const crash = async (broker: SpawnedBroker): Promise<void> => {
    // As in power-cut.ts: a sync that is under way would be reported as done.
    process.kill(broker.pid, 'SIGSTOP')
    await delay(5)
    disk.powerCut()
    await broker.kill9()
    disk.unmount()
    disk.mount()
  }
  return { death: 'machine', dataDirectory: disk.mountPoint, crash }
}

class World {
  readonly #run: TortureRun
  readonly #machine: Machine
  readonly #args: string[]
  readonly #loads: GroupLoad[] = []
  #broker: SpawnedBroker
  #session: Session

  private constructor(
    run: TortureRun,
    machine: Machine,
    args: string[],
    broker: SpawnedBroker,
    session: Session,
  ) {
    this.#run = run
    this.#machine = machine
    this.#args = args
    this.#broker = broker
    this.#session = session
    const { directory } = run
    for (const [index, ids] of instanceIds.entries()) {
      const groupId = `group-${index}`
      const plan = { groupId, topic, partitionCount, instanceIds: ids, directory }
      const load = new GroupLoad(plan, broker.bootstrap)
      run.onEnd(() => load.end())
      this.#loads.push(load)
    }
  }

  static async create(run: TortureRun, machine: Machine): Promise<World> {
    const { random } = run
    // Members must find every life of the broker at the same address.
    const args = ['--kafka', `127.0.0.1:${await freePort()}`]
    const settings = {
      'group.min.session.timeout.ms': 100,
      'offsets.topic.num.partitions': random.pick([1, 4]),
      // Commits fill segments, and compaction runs all the time.
      'offsets.topic.segment.bytes': random.pick([65_536, 262_144]),
      'log.cleaner.backoff.ms': 100,
    }
    for (const [key, value] of Object.entries(settings)) args.push('--set', `${key}=${value}`)
    mkdirSync(machine.dataDirectory, { recursive: true })
    const broker = await run.spawn(machine.dataDirectory, { args })
    const session = await Session.create(broker.bootstrap, {
      topic,
      partitionCount,
      configs: new Map([['segment.bytes', '262144']]),
      producers: [{ acks: -1, isIdempotent: false }],
      random,
      recordsMax: 8,
      thinkMs: 20,
      readersMax: 0,
    })
    return new World(run, machine, args, broker, session)
  }

  async cycle(isSettled: boolean): Promise<void> {
    const { random, isShort } = this.#run
    this.#session.startProducers(this.#broker.bootstrap)
    const loadMs = isShort ? 300 + random.next() * 700 : 200 + random.next() ** 2 * 3000
    await Promise.race([delay(loadMs), this.#session.failed])
    if (random.chance(0.3)) await this.#standStill()
    if (random.chance(0.5)) await this.#killMember()
    if (random.chance(0.7)) await this.#crash()
    await this.#session.stopLoad()
    await this.#check(isSettled)
  }

  async #killMember(): Promise<void> {
    const { random } = this.#run
    await random.pick(this.#loads).kill(random)
    this.#run.add('members killed')
    await delay(random.next() * 500)
  }

  async #standStill(): Promise<void> {
    const { random } = this.#run
    const goOn = random.pick(this.#loads).freeze(random)
    this.#run.add('members that stood still')
    await Promise.race([delay(standStillMs), this.#session.failed])
    goOn()
    await delay(random.next() * 500)
  }

  async #crash(): Promise<void> {
    await this.#machine.crash(this.#broker)
    await this.#session.stopLoad()
    this.#broker = await this.#run.spawn(this.#machine.dataDirectory, { args: this.#args })
    this.#run.add('broker killed')
    await this.#session.check(this.#broker.bootstrap, this.#machine.death)
  }

  async #check(isSettled: boolean): Promise<void> {
    const client = await WireClient.connect(this.#broker.bootstrap)
    try {
      for (const load of this.#loads) {
        await load.check(client, this.#run.random)
        if (isSettled) await load.caughtUp(client, caughtUpMs)
      }
    } finally {
      client.close()
    }
  }

  /** Members are away before the broker stops, and all they did is in the counts. */
  async end(): Promise<void> {
    await this.#check(true)
    for (const load of this.#loads) {
      await load.end()
      load.look()
      const { ledger } = load
      this.#run.add('commits acknowledged', ledger.ackedCount)
      this.#run.add('parts of generations', ledger.partCount)
      for (let partition = 0; partition < partitionCount; partition++)
        this.#run.add('records processed', ledger.processedEnd(partition))
      for (const [name, count] of ledger.errors) this.#run.add(name, count)
    }
    this.#run.addSession(this.#session)
    await this.#broker.stop()
  }
}

async function runGroups(run: TortureRun, machine: Machine): Promise<void> {
  const world = await World.create(run, machine)
  for (let cycle = 0; cycle < run.cycles; cycle++) {
    await world.cycle(cycle % 10 === 9)
    run.cycleDone()
  }
  await world.end()
}
