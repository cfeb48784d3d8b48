/**
 * The disk rots: bits flip in stored records, in what is noted beside them, in journals, while the broker runs and
 * while it is down. Not in what nobody could notice: bytes of a record that this process has looked at are served as
 * they are in the page cache, and a batch's base offset and leader epoch, which its checksum does not cover, are only
 * known to be wrong where offsets are dense.
 */
import type { PartitionLog } from '../../../workers/log/log.ts'
import type { Entry, PartitionModel } from '../checker/model.ts'
import { dataDirectory, directoryOf } from '../driver/places.ts'
import type { Simulation } from '../driver/simulation.ts'
import type { RotName } from '../swarm.ts'
import { Random } from '../world/random.ts'
import { Rot } from '../world/rot.ts'
import { type Cancel, forever } from '../world/world.ts'

/** Base offset, size; leader epoch. */
const UNCOVERED_BYTES = 16

export class Decay {
  readonly #sim: Simulation
  readonly #random: Random
  readonly #rot: Rot
  #cancel: Cancel | null = null
  #isStopped = false
  /** Of a journal bits were flipped, and it has not been emptied since. */
  isJournalRotten = false

  constructor(sim: Simulation) {
    this.#sim = sim
    this.#random = new Random(sim.plan.seed ^ 0xdeca7)
    this.#rot = new Rot(this.#random)
  }

  start(): void {
    if (this.#sim.plan.rot.size > 0) this.#next()
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
  }

  #next(): void {
    const pauseMs = this.#random.logRange(10, 1_000) * (this.#sim.plan.producePauseMs / 50)
    this.#cancel = this.#sim.world.after(pauseMs, 'rot', forever, () => {
      if (this.#sim.broker !== null) this.#strike(false)
      if (!this.#isStopped) this.#next()
    })
  }

  /** The process is gone. */
  whileDown(): void {
    if (this.#sim.plan.rot.size === 0) return
    this.#rot.processEnded()
    if (this.#isStopped) return
    for (let strikes = this.#random.int(3); strikes > 0; strikes--) this.#strike(true)
  }

  #strike(isDown: boolean): void {
    const kinds: Record<RotName, () => boolean> = {
      'rot-records': () => this.#strikeRecords(isDown),
      'rot-marks': () => this.#strikeMarks(),
      'rot-flushed-ends': () => this.#strikeFile(`${dataDirectory}/flushed-ends`),
      'rot-journal': () => this.#strikeJournal(),
      'rot-caches': () => this.#strikeCache(),
    }
    const { rot } = this.#sim.plan
    const isRecords = rot.has('rot-records') && this.#random.chance(0.5)
    const kind = isRecords ? 'rot-records' : this.#random.pick([...rot])
    if (!kinds[kind]()) return
    this.#sim.world.count(kind)
    this.#sim.world.mixText(kind)
  }

  #strikeRecords(isDown: boolean): boolean {
    const { broker, models, places, disk, world, plan } = this.#sim
    const place = this.#random.pick(places)
    const model = models[place.slot] as PartitionModel
    const log = broker?.owner.logs[place.slot]
    if (!isDown && log === undefined) return false
    const entry = this.#pick(model)
    const found = entry === undefined ? null : this.#find(model, directoryOf(place), entry)
    if (entry === undefined || found === null) return false
    const node = disk.node(found.path)
    const { position } = found
    const end = position + entry.bytes.length
    const isOnPlatter = node.durable.bytes.subarray(position, end).equals(entry.bytes)
    const isSeen = isDown || !isChecked(log as PartitionLog, found.path, position, end)
    if (!isDown && !isOnPlatter) return false
    const skipped = plan.rot.has('rot-marks') ? UNCOVERED_BYTES : 0
    this.#rot.flip(node, position + skipped, end, isSeen)
    model.rotten.add(entry)
    const when = isDown ? 'while down' : isSeen ? 'unread' : 'unseen'
    world.count(`rot in records, ${when}`)
    world.note(() => `world  rot in ${model.name}: batch ${entry.base} to ${entry.last}, ${when}`)
    return true
  }

  #pick({ entries, logStart, rotten }: PartitionModel): Entry | undefined {
    const sound = entries.filter(entry => entry.base >= logStart && !rotten.has(entry))
    const near = this.#random.chance(0.5) ? sound.slice(-3) : sound
    return near.length === 0 ? undefined : this.#random.pick(near)
  }

  /** Where the entry is stored, as programs see it. */
  #find(
    model: PartitionModel,
    directory: string,
    entry: Entry,
  ): { readonly path: string; readonly position: number } | null {
    const { disk } = this.#sim
    if (!disk.exists(directory)) return null
    const names = [...disk.directory(directory).names.keys()].filter(name =>
      /^\d{20}\.log$/.test(name),
    )
    const name = names.sort().findLast(other => Number(other.slice(0, 20)) <= entry.base)
    if (name === undefined) return null
    const path = `${directory}/${name}`
    let position = 0
    const { bytes } = disk.node(path).cache
    for (const batch of model.rotten.storedIn(bytes, Number(name.slice(0, 20)))) {
      if (batch.base === entry.base)
        return batch.bytes.equals(entry.bytes) ? { path, position } : null
      position += batch.bytes.length
    }
    return null
  }

  #strikeMarks(): boolean {
    const { places, models } = this.#sim
    const place = this.#random.pick(places)
    if (!this.#strikeFile(`${directoryOf(place)}/log-marks`)) return false
    ;(models[place.slot] as PartitionModel).rotten.areMarksRotten = true
    return true
  }

  #strikeJournal(): boolean {
    const isThere = this.#strikeFile(`${dataDirectory}/journal-0-${this.#random.pick(['a', 'b'])}`)
    this.isJournalRotten ||= isThere
    return isThere
  }

  /** Indexes are looked up in their files, also in those that this process wrote. */
  #strikeCache(): boolean {
    const paths: string[] = []
    for (const { path } of this.#sim.disk.files()) {
      if (/\.(index|snapshot|window)$/.test(path)) paths.push(path)
    }
    return paths.length > 0 && this.#strikeFile(this.#random.pick(paths.sort()))
  }

  #strikeFile(path: string): boolean {
    const { disk, world } = this.#sim
    if (!disk.exists(path)) return false
    const node = disk.node(path)
    const size = node.cache.bytes.length
    if (size === 0) return false
    this.#rot.flip(node, 0, size, true)
    world.note(() => `world  rot in ${path}`)
    return true
  }
}

/** This process has looked at any of these bytes, and serves what the page cache holds. */
function isChecked(log: PartitionLog, path: string, start: number, end: number): boolean {
  const segment = log.segments.find(other => other.path === path)
  if (segment === undefined) return true
  for (let at = start; at < end; at++) if (segment.checked.has(at, at + 1)) return true
  return false
}
