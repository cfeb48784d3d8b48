/** What operators, time and bad luck do to the broker: configs, restarts, clocks, damaged caches. */
import type { LogConfig } from '../../../src/contracts/log-config.ts'
import { writeNoted } from '../driver/noted-ends.ts'
import type { Simulation } from '../driver/simulation.ts'
import { configOf, type OperationName } from '../swarm.ts'
import type { Random } from '../world/random.ts'
import { type Cancel, forever } from '../world/world.ts'

export class Admin {
  readonly #sim: Simulation
  readonly #random: Random
  readonly #cancels: Cancel[] = []
  #isStopped = false

  constructor(sim: Simulation) {
    this.#sim = sim
    this.#random = sim.world.random.fork()
  }

  start(): void {
    const every: readonly [OperationName, number, () => void][] = [
      ['configure', 2_000, () => this.#configure()],
      ['clean-restart', 6_000, () => this.#restart()],
      ['close-reopen', 4_000, () => this.#reopen()],
      ['delete-records', 2_000, () => this.#deleteRecords()],
      ['checkpoint', 1_000, () => this.#checkpoint()],
      ['wall-jump', 3_000, () => this.#jumpWall()],
      ['monotonic-jump', 3_000, () => this.#jumpMonotonic()],
    ]
    const { crashes, producePauseMs } = this.#sim.plan
    const pace = producePauseMs / 50
    for (const [name, pauseMs, act] of every) {
      if (this.#sim.plan.operations.has(name)) this.#repeat(name, pauseMs * pace, act)
    }
    if (crashes.length > 0) {
      this.#repeat('crash', 8_000 * pace, () => this.#sim.crash(this.#random.pick(crashes)))
    }
  }

  stop(): void {
    this.#isStopped = true
    for (const cancel of this.#cancels) cancel()
    this.#sim.world.wallShiftMs = 0
    // Without a policy that flushes by itself nothing would ever be seen again.
    for (const { slot } of this.#sim.places) {
      const config = this.#sim.host.configs[slot] as LogConfig
      this.#apply(slot, { ...config, flushPolicy: 'group-commit' })
    }
  }

  #repeat(name: string, pauseMs: number, act: () => void): void {
    const delayMs = this.#random.logRange(1, Math.max(2, pauseMs))
    const cancel = this.#sim.world.after(delayMs, name, forever, () => {
      if (this.#isStopped) return
      if (this.#sim.broker !== null) {
        this.#sim.world.count(name)
        act()
      }
      this.#repeat(name, pauseMs, act)
    })
    this.#cancels.push(cancel)
  }

  #configure(): void {
    const { plan, places } = this.#sim
    const slot = this.#random.pick(places).slot
    const config = configOf(this.#random, plan.policies, plan.operations)
    this.#apply(slot, config)
  }

  #apply(slot: number, config: LogConfig): void {
    const { host, broker, world, models } = this.#sim
    world.note(() => `admin  slot ${slot}: flush.policy ${config.flushPolicy}`)
    host.configs[slot] = config
    broker?.submit({
      kind: 'call',
      run: () => {
        const log = broker.owner.logs[slot]
        if (log === undefined) return
        models[slot]?.step(log)
        log.applyConfig(host.configs[slot] as LogConfig)
      },
    })
  }

  #restart(): void {
    const { broker, host, world } = this.#sim
    if (broker === null) return
    world.note(() => 'admin  clean stop')
    broker.stop(isClean => {
      host.isClean = isClean
      world.count(isClean ? 'stopped clean' : 'stopped unclean')
      broker.die()
      this.#sim.broker = null
      world.life++
      for (const model of this.#sim.models) model.crashed(false)
      this.#sim.disk.kill()
      this.#sim.restartLater()
    })
  }

  #reopen(): void {
    const { broker, places } = this.#sim
    const slot = this.#random.pick(places).slot
    broker?.submit({ kind: 'call', run: () => broker.closeReopen(slot) })
  }

  #deleteRecords(): void {
    const { broker, places, models } = this.#sim
    const { slot } = this.#random.pick(places)
    const model = models[slot]
    if (broker === null || model === undefined) return
    const end = model.written + 1 - model.logStart
    const offset = this.#random.chance(0.1) ? -1 : model.logStart + this.#random.int(end + 1)
    broker.submit({ kind: 'call', run: () => broker.deleteRecords(slot, offset) })
  }

  #checkpoint(): void {
    const { broker, host, world } = this.#sim
    host.lastSeenWallMs = world.clock().wallMs()
    if (broker === null) return
    const ends = broker.checkpoint()
    // Written, synced and renamed in the background: there at some later time, or never.
    world.after(this.#random.next() * 100, 'checkpoint written', forever, () => {
      if (broker.isAlive) writeNoted(this.#sim.disk, ends)
    })
  }

  #jumpWall(): void {
    const ms = this.#random.pick([1, -1]) * this.#random.logRange(10, 3e11)
    this.#sim.world.note(() => `world  wall clock jumps by ${ms} ms`)
    this.#sim.world.wallShiftMs += ms
  }

  #jumpMonotonic(): void {
    const ms = this.#random.logRange(10, 1e8)
    // Half of the time nothing went wrong: it was just a long while.
    if (this.#random.chance(0.5)) this.#sim.world.wallShiftMs += ms
    this.#sim.world.note(() => `world  monotonic clock jumps by ${ms} ms`)
    this.#sim.world.jumpMonotonic(ms)
  }

  /** The process is down: what is only a cache may be damaged or gone. */
  whileDown(): void {
    const { plan, disk, world } = this.#sim
    if (this.#isStopped) return
    for (const { path, node } of [...disk.files()]) {
      if (!/\.(index|timeindex|snapshot|window)$/.test(path)) continue
      if (plan.operations.has('lose-cache-files') && this.#random.chance(0.05)) {
        if (path.endsWith('.window')) continue
        world.count('cache files lost')
        const directory = disk.directory(path.slice(0, path.lastIndexOf('/')))
        const name = path.slice(path.lastIndexOf('/') + 1)
        directory.names.delete(name)
        directory.durable.delete(name)
      } else if (plan.operations.has('rot-index') && this.#random.chance(0.1)) {
        world.count('cache files damaged')
        damage(node.cache.bytes, node.durable.bytes, this.#random)
      }
    }
  }
}

/** Flips bits in what both the programs and the platter have. */
function damage(seen: Buffer, durable: Buffer, random: Random): void {
  const size = Math.min(seen.length, durable.length)
  if (size === 0) return
  for (let flips = random.range(1, 3); flips > 0; flips--) {
    const at = random.int(size)
    const flipped = (seen[at] as number) ^ (1 << random.int(8))
    seen[at] = flipped
    durable[at] = flipped
  }
}
