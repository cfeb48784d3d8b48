/**
 * Has logs opened by their owners: many with one call of the control plane, large tails scanned in the task pool first.
 * Dispatcher thread.
 *
 *   open() open() open() ── one microtask later ──▶ scans of this owner's tails ──▶ openPartitions, 16 a call
 */
import type { OpenedPartition, PartitionSpec, RecoveryVerdict } from '../contracts/control.ts'
import type { LogConfig } from '../contracts/log-config.ts'
import type { Logger } from '../log.ts'
import { type Hosted, nameOf, notOpened, placeOf } from './hosted.ts'
import type { Owner } from './owner.ts'
import type { RecoveryScans } from './recovery-scans.ts'

/** Logs opened by one call of the control plane: the first ones serve while the last ones are still recovered. */
const openAtOnce = 64

export interface OpenerOptions {
  readonly owners: readonly Owner[]
  readonly scans: RecoveryScans
  readonly log: Logger
  /** Flushed ends may have been proven by the journals of owners. */
  readonly isJournaled: boolean
  /** Why nothing may be opened; null when all is well. */
  refusal(): string | null
  /** Why this log must not be opened; null when it may. */
  refusalOf(hosted: Hosted): string | null
  /** What became of a log, opened with `config`; not called when its partition got a newer generation meanwhile. */
  settle(hosted: Hosted, result: OpenedPartition, config: LogConfig): void
}

export class LogOpener {
  readonly #options: OpenerOptions
  /** Opens that wait for the next microtask, by owner. */
  readonly #queues: Hosted[][]
  readonly #done: (Promise<void> | null)[]
  /**
   * The last process did not stop clean: logs are scanned, and what is not proven is not believed, because it may have
   * been the machine that stopped.
   */
  recovers = false

  constructor(ownerCount: number, options: OpenerOptions) {
    this.#options = options
    this.#queues = Array.from({ length: ownerCount }, () => [])
    this.#done = new Array(ownerCount).fill(null)
  }

  /** Resolves when the log is settled, well or not. */
  open(hosted: Hosted): Promise<void> {
    const index = hosted.partition.ownerIndex
    const queue = this.#queues[index] as Hosted[]
    queue.push(hosted)
    this.#done[index] ??= Promise.resolve().then(() => {
      this.#done[index] = null
      return this.openNow(index, queue.splice(0), this.recovers)
    })
    return this.#done[index]
  }

  /** Never rejects: what does not open is offline, and the log says why. */
  async openNow(ownerIndex: number, group: readonly Hosted[], recover: boolean): Promise<void> {
    const refused = group.filter(hosted => this.#options.refusalOf(hosted) !== null)
    for (const hosted of refused) {
      const why = this.#options.refusalOf(hosted) as string
      this.#options.settle(hosted, notOpened(hosted.partition.slot, why), hosted.config)
    }
    if (refused.length > 0) group = group.filter(hosted => !refused.includes(hosted))
    const generations = new Map(group.map(hosted => [hosted, hosted.partition.generation]))
    // The owner may die and come back meanwhile, and with it the partition under a newer generation: that one counts.
    const isCurrent = (hosted: Hosted): boolean =>
      hosted.partition.generation === generations.get(hosted)
    const specs = new Map<Hosted, PartitionSpec>()
    await Promise.all(
      group.map(async hosted => {
        // Under `os` nothing is promised beyond the page cache: there is nothing to prove.
        const isPromised = hosted.config.flushPolicy !== 'os'
        const copyForward = recover && this.recovers && isPromised
        specs.set(hosted, await this.spec(hosted, { recover, copyForward }))
      }),
    )
    const owner = this.#options.owners[ownerIndex] as Owner
    for (let at = 0; at < group.length; at += openAtOnce) {
      const part = group.slice(at, at + openAtOnce).filter(isCurrent)
      const results = await this.#openOn(
        owner,
        part.map(hosted => specs.get(hosted) as PartitionSpec),
      )
      // It died over this: its exit has opened them again, unless it was the last time.
      if (results === null && owner.alive) return
      for (const [i, hosted] of part.entries()) {
        const down = notOpened(hosted.partition.slot, `owner thread ${ownerIndex} is down`)
        const { config } = specs.get(hosted) as PartitionSpec
        if (isCurrent(hosted)) this.#options.settle(hosted, results?.[i] ?? down, config)
      }
    }
  }

  /** How to open a log; with the verdict of a scan when its tail is large. */
  async spec(
    hosted: Hosted,
    how: { readonly recover: boolean; readonly copyForward: boolean },
  ): Promise<PartitionSpec> {
    const { partition, config, recoveryPoint, flushedOffset, logStart } = hosted
    const { generation } = partition
    const isJournaled = this.#options.isJournaled && flushedOffset >= 0
    const offsets = { recoveryPoint, flushedOffset, isJournaled, logStart }
    const spec = { ...placeOf(hosted), generation, config, ...offsets, ...how, verdict: null }
    return how.recover ? { ...spec, verdict: await this.#scan(hosted, spec) } : spec
  }

  async #openOn(owner: Owner, specs: readonly PartitionSpec[]): Promise<OpenedPartition[] | null> {
    const allFailed = (why: string) => specs.map(({ slot }) => notOpened(slot, why))
    const refusal = this.#options.refusal()
    if (refusal !== null) return allFailed(refusal)
    return await owner
      .call(control => control.openPartitions(specs))
      .catch((error: Error) => allFailed(error.message))
  }

  /** Null leaves it to the owner, also when the scan failed. */
  async #scan(hosted: Hosted, tail: PartitionSpec): Promise<RecoveryVerdict | null> {
    const { scans, log } = this.#options
    const { directory, recoveryPoint, flushedOffset, copyForward, isJournaled } = tail
    const { indexIntervalBytes } = hosted.config
    const offsets = { recoveryPoint, flushedOffset, isJournaled }
    const input = { directory, ...offsets, copyForward, indexIntervalBytes }
    return await scans.scan(input).catch((error: unknown) => {
      const partition = nameOf(hosted)
      log.warn({ err: error, partition }, 'scan failed: the owner thread scans by itself')
      return null
    })
  }
}
