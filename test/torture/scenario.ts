/** What a scenario is, what it gets and what it reports. */
import { accessSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Errors } from '../../src/protocol/errors.ts'
import { type SpawnedBroker, type SpawnOptions, spawnBroker } from '../support/spawn-broker.ts'
import { Random } from './random.ts'
import type { Session } from './session.ts'

/** What a broker answers whose partition is on its way back, or whose disk is full or broken. */
export const storageTrouble: ReadonlySet<number> = new Set([
  Errors.NOT_LEADER_OR_FOLLOWER,
  Errors.KAFKA_STORAGE_ERROR,
  Errors.REQUEST_TIMED_OUT,
])

/** Something a machine may lack. */
export interface Need {
  readonly isThere: boolean
  /** As `strace is not installed`. */
  readonly missing: string
  /** What brings it. */
  readonly cure: string
  /** A package brings it; else it is what the machine allows. */
  readonly isInstallable: boolean
}

export interface Scenario {
  readonly name: string
  /** One line for `list`. */
  readonly about: string
  /** What a cycle is, for the report. */
  readonly cycle: string
  readonly cyclesDefault: number
  needs(): readonly Need[]
  run(run: TortureRun): Promise<void>
}

export interface RunOptions {
  readonly cycles: number
  readonly seed: number
  /** Parent of what a run writes; the system's temporary directory without it. */
  readonly directory?: string
  /** The broker's main.ts or main.js; that of this checkout without it. */
  readonly entry?: string
  readonly onCycle?: (done: number, total: number) => void
  /** The short form of a test: waits are cut. */
  readonly isShort?: boolean
}

/** `keepFiles`: something was found, leave what shows it. */
type CleanUp = (keepFiles: boolean) => Promise<void> | void

export class TortureRun {
  readonly cycles: number
  readonly seed: number
  readonly random: Random
  readonly isShort: boolean
  /** Empty when the run begins; removed at its end, kept when something was found. */
  readonly directory: string
  readonly #options: RunOptions
  /** Whatever a scenario counts. */
  readonly counts = new Map<string, number>()
  cyclesDone = 0
  #brokerCount = 0
  readonly #cleanUps: CleanUp[] = []

  private constructor(options: RunOptions, directory: string) {
    this.cycles = options.cycles
    this.seed = options.seed
    this.random = new Random(options.seed)
    this.isShort = options.isShort ?? false
    this.directory = directory
    this.#options = options
  }

  static async begin(name: string, options: RunOptions): Promise<TortureRun> {
    const parent = options.directory ?? tmpdir()
    return new TortureRun(options, await mkdtemp(join(parent, `odradek-torture-${name}-`)))
  }

  /** The broker's main file. */
  get entry(): string {
    return this.#options.entry ?? fileURLToPath(new URL('../../src/main.ts', import.meta.url))
  }

  /** Undone at the end, last first, whatever happens. */
  onEnd(cleanUp: CleanUp): void {
    this.#cleanUps.push(cleanUp)
  }

  /** `keepFiles`: something was found. */
  async end(keepFiles: boolean): Promise<void> {
    for (const cleanUp of this.#cleanUps.splice(0).reverse()) await cleanUp(keepFiles)
    if (!keepFiles) await rm(this.directory, { recursive: true, force: true, maxRetries: 3 })
  }

  cycleDone(): void {
    this.cyclesDone++
    this.#options.onCycle?.(this.cyclesDone, this.cycles)
  }

  add(what: string, count = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + count)
  }

  /** Adds what a session has done. */
  addSession(session: Session): void {
    const { acked, checked, followed } = session.counts
    this.add('records acknowledged', acked)
    this.add('records checked', checked)
    this.add('records followed', followed)
    for (const [name, count] of session.errors) this.add(name, count)
  }

  /** A real broker on this data directory, with two owner threads, ended with the run. */
  async spawn(dataDirectory: string, options: Partial<SpawnOptions> = {}): Promise<SpawnedBroker> {
    const args = ['--workers', '2', '--log-level', 'warn', ...(options.args ?? [])]
    const broker = await spawnBroker({
      dataDirectory,
      entry: this.entry,
      ...options,
      args,
    })
    const logPath = join(this.directory, `broker-${++this.#brokerCount}.log`)
    this.onEnd(async keepFiles => {
      await broker.kill9()
      if (keepFiles) writeFileSync(logPath, broker.stderr())
    })
    return broker
  }
}

export const rootNeed = (): Need => ({
  isThere: process.platform === 'linux' && process.getuid?.() === 0,
  missing: 'mounting needs Linux and root',
  cure: 'run it as root on Linux',
  isInstallable: false,
})

export const fileNeed = (path: string, cure: string): Need => ({
  isThere: isAccessible(path),
  missing: `${path} is missing`,
  cure,
  isInstallable: false,
})

function isAccessible(path: string): boolean {
  try {
    accessSync(path)
    return true
  } catch {
    return false
  }
}
