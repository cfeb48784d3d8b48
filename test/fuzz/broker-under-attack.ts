/** A broker process with an honest client, watched: memory, log, end of the process. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { parsePrometheus } from '../http/prometheus-text.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { makeTempDirectory, type TempDirectory } from '../support/temp-directory.ts'
import { Canary } from './canary.ts'

const MIB = 1024 * 1024
/** Small, so that bounds are reached. */
export const settings = {
  'request.arena.bytes': 8 * MIB,
  'response.arena.bytes': 8 * MIB,
  'socket.request.max.bytes': 2 * MIB,
  'fetch.max.bytes': 2 * MIB,
  'max.partitions': 128,
  'connection.stall.timeout.ms': 5000,
} as const
const brokerArgs = [
  ...Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]),
  ...['--workers', '2', '--log-level', 'warn'],
]
/** A heap that makes the collector work: what is not let go of ends the process instead of hiding in a large heap. */
const nodeOptions = '--max-old-space-size=128'
/**
 * Beyond the arenas, which may be touched to the last page: room for such heaps to fill as the collector sees fit.
 */
const growthBytesMax = 192 * MIB
const warmUpSteps = 50
const logBytesMax = 8 * MIB
/** Of a log line; what is no log line at all is worse. */
const harmless: readonly string[] = ['info', 'warn']

export interface StartOptions {
  /** The broker's main file, if not that of this checkout. */
  readonly entry?: string
  /** Of plants.ts: the mistake that it shall make. */
  readonly plant?: string
  /** How long attackers wait for what must be answered; a bound, not an expectation. */
  readonly answerTimeoutMs?: number
}

function spawn(dataDirectory: string, { entry, plant }: StartOptions): Promise<SpawnedBroker> {
  const planted = plant === undefined ? '' : ` --import ${new URL('plants.ts', import.meta.url)}`
  const env = { NODE_OPTIONS: `${nodeOptions}${planted}`, FUZZ_PLANT: plant }
  return spawnBroker({ dataDirectory, args: brokerArgs, entry, env })
}

export class BrokerUnderAttack {
  readonly port: number
  readonly bootstrap: string
  /** Rejects when the honest client suffers or the process ends. */
  readonly trouble: Promise<never>
  memoryGrowthBytes = 0
  readonly #process: SpawnedBroker
  readonly #directory: TempDirectory
  readonly #options: StartOptions
  #canary: Canary | null = null
  baseBytes = 0

  private constructor(process: SpawnedBroker, directory: TempDirectory, options: StartOptions) {
    this.#process = process
    this.#directory = directory
    this.#options = options
    this.bootstrap = process.bootstrap
    this.port = Number(process.bootstrap.split(':')[1])
    this.trouble = process.exited.then(({ code, signal }) => {
      throw new Error(`the broker process has ended (${code ?? signal})`)
    })
    this.trouble.catch(() => {})
  }

  static async start(options: StartOptions = {}): Promise<BrokerUnderAttack> {
    const directory = await makeTempDirectory()
    const dataDirectory = directory.file('data')
    const spawned = await spawn(dataDirectory, options)
    const broker = new BrokerUnderAttack(spawned, directory, options)
    await broker.#warmUp()
    return broker
  }

  get answerTimeoutMs(): number {
    return this.#options.answerTimeoutMs ?? 60_000
  }

  get canary(): Canary {
    if (this.#canary === null) throw new Error('the canary is there while the broker runs')
    return this.#canary
  }

  get hasEnded(): boolean {
    return this.#process.child.exitCode !== null || this.#process.child.signalCode !== null
  }

  /** @throws Error when memory has grown too far. */
  look(): void {
    if (process.platform !== 'linux' || this.hasEnded) return
    this.memoryGrowthBytes = Math.max(this.memoryGrowthBytes, this.residentBytes() - this.baseBytes)
    const most = growthBytesMax + settings['request.arena.bytes'] + settings['response.arena.bytes']
    const grown = `${Math.ceil(this.memoryGrowthBytes / MIB)} MiB of ${most / MIB} allowed`
    assert(this.memoryGrowthBytes <= most, `memory has grown by ${grown}`)
  }

  /** What attackers held is given back, but for what they committed and created. */
  async untilCalm(): Promise<void> {
    const goOn = await this.canary.rest()
    const wanted = { connections: 1, requests_in_flight: 0, purgatory_size: 0, arena_used_bytes: 0 }
    for (let tries = 0; ; tries++) {
      const metrics = await this.#metrics()
      if (Object.entries(wanted).every(([name, value]) => metrics.get(name) === value)) break
      const seen = Object.keys(wanted).map(name => `${name} ${metrics.get(name)}`)
      assert(tries < 600, `attackers have left, but the broker holds on: ${seen.join(', ')}`)
      await sleep(100)
    }
    goOn()
    readLog(this.#process.stderr())
  }

  /** Ends everything, and starts once more on what is left: all that the honest client wrote must be there. */
  async stop(): Promise<void> {
    const { canary } = this
    await canary.rest()
    await canary.verify(this.bootstrap)
    canary.end()
    await this.#end(this.#process)
    const again = await spawn(this.#process.dataDirectory, this.#options)
    try {
      await canary.verify(again.bootstrap)
    } finally {
      await this.#end(again)
    }
    await this.#directory.remove()
  }

  async #end(process: SpawnedBroker): Promise<void> {
    const code = await process.stop()
    readLog(process.stderr())
    assert.equal(code, 0, 'exit code of the broker')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.kill9()
    await this.#directory.remove()
  }

  lastWords(): string {
    const words = this.#process.stderr().slice(-6000)
    return words === '' ? 'the broker logged nothing' : `last words of the broker:\n${words}`
  }

  async #warmUp(): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>()
    Object.assign(this, { trouble: Promise.race([this.trouble, promise]) })
    this.trouble.catch(() => {})
    this.#canary = await Canary.start(this.bootstrap, reject)
    while (this.#canary.steps < warmUpSteps) await sleep(5)
    if (process.platform === 'linux') this.baseBytes = this.residentBytes()
  }

  residentBytes(): number {
    const status = readFileSync(`/proc/${this.#process.pid}/status`, 'latin1')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
  }

  async #metrics(): Promise<ReadonlyMap<string, number>> {
    const text = await (await fetch(`${this.#process.httpUrl}/metrics`)).text()
    const families = [...parsePrometheus(text)].map(([name, { samples }]) => {
      const sum = samples.reduce((all, { value }) => all + value, 0)
      return [name.replace('odradek_', ''), sum] as const
    })
    return new Map(families)
  }
}

/** @throws Error when the broker logged a mistake of its own, or too much. */
function readLog(text: string): void {
  assert(text.length <= logBytesMax, `${text.length} bytes of log`)
  for (const line of text.split('\n').filter(Boolean)) {
    const level = line.startsWith('{') ? (JSON.parse(line) as { level: string }).level : 'none'
    assert(harmless.includes(level), `the broker logged: ${line.slice(0, 4000)}`)
  }
}
