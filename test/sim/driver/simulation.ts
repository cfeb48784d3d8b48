/**
 * One seed from birth to the final check:
 *
 *   chaos, with crashes → crash → heal → liveness → full read → final check
 */
import type { PartitionSpec } from '../../../src/contracts/control.ts'
import type { LogConfig } from '../../../src/contracts/log-config.ts'
import type { ClockLook } from '../../../workers/clock-trust.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { sealedFiles } from '../../../workers/log/open-files.ts'
import { Admin } from '../actors/admin.ts'
import { Consumer } from '../actors/consumer.ts'
import { Decay } from '../actors/decay.ts'
import { Producer } from '../actors/producer.ts'
import { type Anomaly, demand } from '../checker/anomaly.ts'
import { finalCheck } from '../checker/final-check.ts'
import { JournalEnd } from '../checker/journal-end.ts'
import { PartitionModel } from '../checker/model.ts'
import { givenUpAt } from '../checker/reads.ts'
import type { NotedBefore } from '../checker/rotten.ts'
import { UnlinkRule } from '../checker/unlinks.ts'
import {
  DurableEnd,
  durableLogStart,
  firstDurableBase,
  isDurable,
  storedIn,
} from '../checker/white-box.ts'
import type { CrashKind, Plan } from '../swarm.ts'
import { SimDisk } from '../world/disk.ts'
import { Faults } from '../world/faults.ts'
import type { Random } from '../world/random.ts'
import { forever, World } from '../world/world.ts'
import { Broker } from './broker.ts'
import { dataDirectory, directoryOf, type Place } from './places.ts'

/** What the host keeps on its own disk, which is not simulated: it survives as the data directory's files do. */
interface HostState {
  isClean: boolean
  readonly configs: LogConfig[]
  /** When the last process was seen alive, on the wall clock. */
  lastSeenWallMs: number | null
  /** What owner threads of this process know of the clocks. */
  clockLook: ClockLook | null
  opens: number
}

const nestedCrashesMax = 5
/** After all is healed everything must be answered within so many events. */
const liveEvents = 5_000

export class Simulation {
  readonly plan: Plan
  readonly world: World
  readonly faults: Faults
  readonly disk: SimDisk
  readonly random: Random
  readonly places: Place[]
  readonly models: PartitionModel[]
  readonly host: HostState
  readonly producers: Producer[]
  readonly consumers: Consumer[]
  readonly #ends: DurableEnd[]
  readonly #journalEnds: JournalEnd[]
  readonly #admin: Admin
  readonly decay: Decay
  broker: Broker | null = null
  #nested = 0
  #broken: Anomaly | null = null
  #isChaos = true

  constructor(plan: Plan, isTraced: boolean) {
    this.plan = plan
    this.world = new World(plan.seed, isTraced)
    this.random = this.world.random.fork()
    this.faults = new Faults(plan.faults, this.world.random.fork())
    this.disk = new SimDisk(this.world, this.faults)
    this.places = Array.from({ length: plan.partitionCount }, (_, slot) => ({
      topic: `t${slot}`,
      partition: 0,
      slot,
    }))
    const clock = this.world.clock()
    const isWallSteady = !plan.operations.has('wall-jump')
    const isByAge = !plan.operations.has('delete-records')
    this.models = this.places.map(({ topic }) => {
      return new PartitionModel(topic, isByAge ? { clock, isWallSteady } : null)
    })
    this.#ends = this.places.map(place => {
      return new DurableEnd(this.disk, directoryOf(place), this.models[place.slot]!)
    })
    this.#journalEnds = this.places.map(() => new JournalEnd(this.disk))
    const configs = this.places.map(() => plan.config)
    this.host = { isClean: true, configs, opens: 0, lastSeenWallMs: null, clockLook: null }
    this.producers = Array.from({ length: plan.producerCount }, (_, i) => new Producer(this, i))
    this.consumers = Array.from({ length: plan.consumerCount }, (_, i) => new Consumer(this, i))
    this.#admin = new Admin(this)
    this.decay = new Decay(this)
    this.world.onStep = () => this.#step()
    const ends = new Map(this.places.map(place => [directoryOf(place), this.models[place.slot]]))
    const rule = new UnlinkRule(this.disk, directory => ends.get(directory))
    this.disk.onUnlink = path => {
      // The product may catch what is thrown here.
      this.#broken ??= rule.check(path)
    }
  }

  async run(): Promise<void> {
    emptySealedFiles()
    this.disk.isObserved = true
    this.disk.mkdir(dataDirectory)
    // The data directory itself is not the log's business.
    this.disk.syncDirectory('/')
    this.disk.isObserved = false
    this.#boot()
    this.#armCrash()
    for (const producer of this.producers) producer.start()
    for (const consumer of this.consumers) consumer.start()
    this.#admin.start()
    this.decay.start()
    await this.world.run(this.plan.steps)
    await this.#heal()
    await this.#liveness()
    await finalCheck(this)
  }

  /** Found where the product would catch it. */
  broken(anomaly: Anomaly): void {
    this.#broken ??= anomaly
  }

  #boot(): void {
    this.world.note(() => `host   starts ${this.host.isClean ? 'after a clean stop' : 'unclean'}`)
    emptySealedFiles()
    const { isClean } = this.host
    this.host.isClean = false
    this.host.clockLook = null
    if (this.decay.isJournalRotten) for (const model of this.models) model.journalRotted()
    this.broker = new Broker(this)
    if (this.broker.boot(isClean)) return
    this.world.count('starts given up')
    this.broker.die()
    this.broker = null
    this.world.life++
    this.disk.kill()
    this.restartLater()
  }

  /** Some disk operations from now the world ends. */
  #armCrash(): void {
    const { plan } = this
    if (plan.crashes.length === 0 || !this.#isChaos) return
    this.disk.crashAt = this.disk.operations + this.random.range(1, plan.crashEvery * 2)
  }

  #step(): void {
    if (this.#broken !== null) throw this.#broken
    if (this.disk.crashed) {
      this.crash(this.random.pick(this.plan.crashes))
      return
    }
    if (this.broker === null) return
    for (const log of this.broker.owner.logs) {
      if (log === undefined) continue
      this.models[log.slot]?.step(log)
      this.#ends[log.slot]?.check(log)
      const { rotten } = this.models[log.slot]!
      if (!this.decay.isJournalRotten) this.#journalEnds[log.slot]?.check(log, rotten)
    }
  }

  crash(kind: CrashKind): void {
    this.world.count(`crash ${kind}`)
    this.world.note(() => `world  ${kind}`)
    for (const log of this.broker?.owner.logs ?? []) {
      if (log !== undefined) this.models[log.slot]?.endedAt(log)
    }
    if (kind === 'owner-crash' && this.broker?.isReplayed) {
      this.disk.crashAt = Number.POSITIVE_INFINITY
      this.broker.ownerDied()
      this.#armNested()
      return
    }
    this.broker?.die()
    this.broker = null
    this.world.life++
    if (kind === 'power-cut') this.disk.powerCut(this.random)
    else this.disk.kill()
    if (this.plan.operations.has('evict-lost-pages') && this.random.chance(0.5)) {
      const evicted = this.disk.evictLost()
      for (const place of this.places) {
        const model = this.models[place.slot] as PartitionModel
        // A flush had failed, whether or not the log has heard of it.
        if (evicted.some(path => path.startsWith(`${directoryOf(place)}/`))) model.evicted()
      }
    }
    for (const model of this.models) model.crashed(kind === 'power-cut')
    this.restartLater()
  }

  restartLater(): void {
    this.#admin.whileDown()
    this.decay.whileDown()
    this.world.after(this.random.logRange(1, 2_000), 'start', forever, () => {
      this.#boot()
      this.#armNested()
    })
  }

  /** A third of the seeds crash again within the first events of a recovery. */
  #armNested(): void {
    const { plan, random } = this
    if (!this.#isChaos || plan.crashes.length === 0) return
    if (plan.recoveryCrashes && this.#nested < nestedCrashesMax && random.chance(0.6)) {
      this.#nested++
      this.disk.crashAt = this.disk.operations + random.range(1, 40)
      return
    }
    this.#nested = 0
    this.#armCrash()
  }

  opened(log: PartitionLog, spec: PartitionSpec, noted: NotedBefore): void {
    const { slot } = log
    const { truncatedBytes } = log.loaded
    if (spec.recover) this.world.count('recoveries')
    if (truncatedBytes > 0) this.world.count('recoveries that cut')
    const { logStart, logEnd } = log.offsets
    this.world.note(() => {
      const how = spec.recover ? `recovered, ${truncatedBytes} bytes cut` : 'opened'
      return `host   slot ${slot} ${how}: ${logStart} to ${logEnd}`
    })
    const place = this.places[slot] as Place
    const directory = directoryOf(place)
    const marked = durableLogStart(this.disk, directory)
    const model = this.models[slot]!
    model.reopened(log, storedIn(this.disk, directory, log, model.rotten), marked, noted)
    this.#ends[slot]?.reset()
    this.#journalEnds[slot]?.reset()
  }

  wentOffline(log: PartitionLog): void {
    this.models[log.slot]?.wentOffline(log)
  }

  /** What the owner's housekeeping complains of: with no fault about, nothing. */
  checkOwnError(error: Error): void {
    const isFault = !this.faults.isHealed && this.plan.faults.length > 0 && 'code' in error
    if (!isFault) throw error
  }

  /** DeleteRecords was answered: its mark must be on the platter. */
  marksBelow(slot: number, offset: number): void {
    if (this.models[slot]?.rotten.areMarksRotten === true) return
    const directory = directoryOf(this.places[slot] as Place)
    // Without a mark the log starts at its first segment.
    const durable = Math.max(
      durableLogStart(this.disk, directory),
      firstDurableBase(this.disk, directory),
    )
    const isNamed = offset === 0 || isDurable(this.disk, directory)
    demand(isNamed && durable >= offset, 'wrong-answer', () => {
      return `records below ${offset} are deleted, the durable log start is ${durable}`
    })
  }

  /** Without faults every log opens. */
  checkOpenError(error: Error): void {
    demand('code' in error || this.faults.isHealed === false, 'crash', () => String(error.stack))
    if (!('code' in error)) throw error
    demand(!this.faults.isHealed && this.plan.faults.length > 0, 'not-live', () => {
      return `a log does not open without a fault: ${error.message}`
    })
  }

  async #heal(): Promise<void> {
    this.world.note(() => 'world  heals')
    this.#isChaos = false
    this.#admin.stop()
    this.decay.stop()
    this.faults.heal()
    this.disk.crashAt = Number.POSITIVE_INFINITY
    for (const producer of this.producers) producer.isQuiet = true
    for (const consumer of this.consumers) consumer.isQuiet = true
    const { crashes } = this.plan
    // What a journal has of a log gets into it at a start only.
    if (this.broker?.isUnreplayed) this.crash('kill')
    else if (crashes.length > 0 && this.broker !== null) this.crash(this.random.pick(crashes))
    else for (const { slot } of this.places) this.#healLog(slot)
    const isOnline = (slot: number): boolean => {
      // One that was full finds out with the next batch.
      const state = this.broker?.owner.logs[slot]?.state ?? 'offline'
      return state !== 'offline'
    }
    await this.world.run(liveEvents, () => this.places.every(({ slot }) => isOnline(slot)))
    for (const { slot } of this.places) {
      demand(isOnline(slot), 'not-live', () => {
        return `partition ${slot} is not online after all was healed`
      })
    }
  }

  /** One that fails is brought back; what could not be read too often counts as lost until the log is opened anew. */
  #healLog(slot: number): void {
    const log = this.broker?.owner.logs[slot]
    if (log !== undefined && givenUpAt(log) !== null) this.broker?.closeReopen(slot)
    else this.broker?.bringBack(slot)
  }

  /** Nothing is under way but what the broker does by itself. */
  #isQuiet(): boolean {
    const { broker, disk } = this
    if (broker === null || disk.syncsInFlight > 0) return false
    const isFlushed = this.places.every(({ slot }) => {
      const offsets = broker.owner.logs[slot]?.offsets
      return offsets !== undefined && offsets.highWatermark === offsets.logEnd
    })
    const isIdle = broker.hosted.every(({ waiting }) => waiting.length === 0)
    const areDone = this.producers.every(({ isDone }) => isDone)
    return isFlushed && isIdle && areDone && this.consumers.every(({ isIdle }) => isIdle)
  }

  /** Everything that was sent is answered, what is sent now too, and readers come to the end. */
  async #liveness(): Promise<void> {
    await this.world.run(liveEvents, () => this.producers.every(({ isDone }) => isDone))
    for (const producer of this.producers) producer.sendLast()
    for (const consumer of this.consumers) consumer.hurry()
    await this.world.run(liveEvents, () => this.#isQuiet())
    for (const producer of this.producers) {
      demand(producer.isDone, 'not-live', () => {
        return `producer ${producer.index} has no answer to ${producer.describe()}`
      })
    }
  }
}

/** The log core keeps open files per thread, here over several lives and seeds: each begins with none. */
function emptySealedFiles(): void {
  const strangers = Array.from({ length: 257 }, () => ({ closeFile() {} }))
  for (const stranger of strangers) sealedFiles.used(stranger)
  for (const stranger of strangers) sealedFiles.forget(stranger)
}
