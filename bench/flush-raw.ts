/**
 * What the disk gives without a broker: write the same batches to the same number of files, make them durable, start
 * over. A process of its own, so that UV_THREADPOOL_SIZE holds and nothing else runs in it. Settings come as one JSON
 * argument, the result leaves as one JSON line.
 *
 *   sequential   write all, fdatasync one file after the other
 *   pool         write all, fdatasync all at once in libuv's pool
 *   journal      write all, and once more into one preallocated file, fdatasync that one; when it is full, the files
 *                are synced in the pool and it starts over (what an owner's journal could reach at best)
 *
 * A round is what a full window allows: its batches are spread evenly over the files, and with fewer batches than files
 * the rounds take the files in turn.
 */
import fs from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Latencies } from '../src/load/latencies.ts'

export interface RawSettings {
  readonly mode: 'sequential' | 'pool' | 'journal'
  readonly directory: string
  readonly fileCount: number
  readonly batchBytes: number
  readonly batchesInFlight: number
  readonly seconds: number
  readonly warmupSeconds: number
  readonly bytesMax: number
}

export interface RawResult {
  readonly rounds: number
  readonly batches: number
  readonly syncs: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly latencyP50Ms: number
  readonly latencyP99Ms: number
}

const journalBytes = 256 * 1024 * 1024
const fdatasync = promisify(fs.fdatasync)

class RawLoop {
  readonly #settings: RawSettings
  readonly #files: number[]
  readonly #sizes: number[]
  readonly #batch: Buffer
  readonly #journal: number
  #journalEnd = 0
  #nextFile = 0
  syncs = 0

  constructor(settings: RawSettings) {
    this.#settings = settings
    const { directory, fileCount, batchBytes, batchesInFlight, mode } = settings
    fs.mkdirSync(directory, { recursive: true })
    this.#files = Array.from({ length: fileCount }, (_, n) =>
      fs.openSync(join(directory, `${n}`), 'w'),
    )
    this.#sizes = this.#files.map(() => 0)
    const perFile = Math.max(1, Math.floor(batchesInFlight / fileCount))
    this.#batch = Buffer.alloc(perFile * batchBytes, 'batch of records ')
    this.#journal = mode === 'journal' ? allocateJournal(join(directory, 'journal')) : -1
  }

  /** Files of one round. */
  get width(): number {
    return Math.min(this.#settings.fileCount, this.#settings.batchesInFlight)
  }

  get batchesPerRound(): number {
    return (this.width * this.#batch.length) / this.#settings.batchBytes
  }

  async round(): Promise<void> {
    const dirty: number[] = []
    for (let n = 0; n < this.width; n++) {
      const index = this.#nextFile
      this.#nextFile = (index + 1) % this.#files.length
      const file = this.#files[index]!
      fs.writeSync(file, this.#batch, 0, this.#batch.length, this.#sizes[index]!)
      this.#sizes[index]! += this.#batch.length
      dirty.push(file)
    }
    if (this.#settings.mode === 'journal') await this.#journalRound()
    else if (this.#settings.mode === 'pool') await this.#syncAll(dirty)
    else for (const file of dirty) this.#syncOne(file)
  }

  #syncOne(file: number): void {
    this.syncs++
    fs.fdatasyncSync(file)
  }

  async #syncAll(files: readonly number[]): Promise<void> {
    this.syncs += files.length
    await Promise.all(files.map(file => fdatasync(file)))
  }

  async #journalRound(): Promise<void> {
    if (this.#journalEnd + this.width * this.#batch.length > journalBytes) {
      await this.#syncAll(this.#files)
      this.#journalEnd = 0
    }
    for (let n = 0; n < this.width; n++) {
      fs.writeSync(this.#journal, this.#batch, 0, this.#batch.length, this.#journalEnd)
      this.#journalEnd += this.#batch.length
    }
    await this.#syncAll([this.#journal])
  }
}

function allocateJournal(path: string): number {
  const file = fs.openSync(path, 'w')
  const zeros = Buffer.alloc(1024 * 1024)
  for (let at = 0; at < journalBytes; at += zeros.length) fs.writeSync(file, zeros)
  fs.fsyncSync(file)
  return file
}

async function run(settings: RawSettings): Promise<RawResult> {
  const loop = new RawLoop(settings)
  const latencies = new Latencies()
  const warmUntilMs = performance.now() + settings.warmupSeconds * 1000
  while (performance.now() < warmUntilMs) await loop.round()
  loop.syncs = 0
  const cpu = process.cpuUsage()
  const startMs = performance.now()
  let rounds = 0
  let nowMs = startMs
  while (
    nowMs - startMs < settings.seconds * 1000 &&
    rounds * loop.batchesPerRound * settings.batchBytes < settings.bytesMax
  ) {
    await loop.round()
    rounds++
    const endMs = performance.now()
    latencies.observe(endMs - nowMs)
    nowMs = endMs
  }
  const { user, system } = process.cpuUsage(cpu)
  return {
    rounds,
    batches: rounds * loop.batchesPerRound,
    syncs: loop.syncs,
    seconds: (nowMs - startMs) / 1000,
    cpuSeconds: (user + system) / 1e6,
    latencyP50Ms: latencies.percentileMs(0.5),
    latencyP99Ms: latencies.percentileMs(0.99),
  }
}

if (import.meta.main) {
  const settings = JSON.parse(process.argv[2] ?? '{}') as RawSettings
  process.stdout.write(`${JSON.stringify(await run(settings))}\n`)
}
