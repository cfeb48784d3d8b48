/** A log on the fault disk with a compactor beside it, whose tasks run at once, in the same thread. */
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { type BatchToEncode, encodeBatch } from '../../src/protocol/encode-batch.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { attributesAt, isControl } from '../../src/protocol/record-batch.ts'
import { batches } from '../../src/protocol/records.ts'
import {
  type CompactionInput,
  type CompactionOutput,
  compactSegments,
} from '../../workers/log/compaction/compact-segments.ts'
import { Compactor } from '../../workers/log/compaction/compactor.ts'
import type { PartitionLog } from '../../workers/log/log.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { FaultDisk } from '../support/fault-disk.ts'
import { type PlainRecord, plainRecords, updates } from './compaction-kit.ts'
import { LogHarness, type OpenOptions } from './log-kit.ts'

/** Long enough for a checkpoint. */
const IDLE_MS = 6_000

export class CompactedLog extends LogHarness {
  readonly logs: (PartitionLog | undefined)[] = []
  readonly passes: CompactionOutput[] = []
  readonly troubles: { readonly message: string; readonly retryMs: number }[] = []
  looks: { ratio: number; uncleanable: number } = { ratio: -1, uncleanable: -1 }
  isClockTrusted = true
  reserveBytes = 0
  /** Runs when the task is done and its result is not looked at yet. */
  afterTask: () => void = () => {}
  readonly compactor: Compactor<PartitionLog>

  constructor(config: Partial<LogConfig> = {}, disk = new FaultDisk(), mapBytes = 1024 * 1024) {
    super(
      {
        cleanupCompact: true,
        cleanupDelete: false,
        minCleanableRatio: 0.01,
        segmentBytesMax: 500,
        indexIntervalBytes: 200,
        deleteRetentionMs: 60_000,
        ...config,
      },
      disk,
    )
    this.compactor = new Compactor<PartitionLog>({
      disk,
      clock: this.clock,
      tasks: { run: (_, input) => this.#runTask(input) },
      logs: this.logs,
      backoffMs: 1_000,
      mapBytes,
      bytesPerSecondMax: Number.POSITIVE_INFINITY,
      reserveBytes: () => this.reserveBytes,
      isClockTrusted: () => this.isClockTrusted,
      onPass: (_, output) => this.passes.push(output),
      onFailure: (_, { message }, retryMs) => this.troubles.push({ message, retryMs }),
      onLook: (ratio, uncleanable) => {
        this.looks = { ratio, uncleanable }
      },
    })
  }

  async #runTask(input: unknown): Promise<CompactionOutput> {
    const output = compactSegments(this.disk, structuredClone(input) as CompactionInput)
    this.afterTask()
    return structuredClone(output)
  }

  override open(options: OpenOptions = {}): this {
    super.open(options)
    this.logs[this.log.slot] = this.log
    return this
  }

  /** One batch of updates, see `updates`. */
  put(pairs: string, rest: Partial<BatchToEncode> = {}): void {
    this.append(encodeBatch({ timestampMs: 1_000, ...rest, records: updates(...pairs.split(' ')) }))
  }

  /** Everything is synced and noted down. */
  idle(): void {
    this.settle()
    this.clock.advance(IDLE_MS)
    this.settle()
  }

  /** A pass over all logs of the "owner". Stops half-way when the disk crashes. `onTurn` comes before each sync. */
  async compact(onTurn: () => void = () => {}): Promise<void> {
    let isDone = false
    const pass = this.compactor.pass().finally(() => {
      isDone = true
    })
    for (let turn = 0; turn < 2_000 && !isDone && !this.disk.crashed; turn++) {
      onTurn()
      this.disk.completeSyncs(1)
      await new Promise(resolve => setImmediate(resolve))
    }
    if (!this.disk.crashed) return pass
    // What the dying process still does must not happen after it.
    for (let turn = 0; turn < 3; turn++) await new Promise(resolve => setImmediate(resolve))
  }

  /** Every record below the high watermark, as a consumer gets them; each answer must lead on. */
  consume(from = this.log.offsets.logStart, maxBytes = 64 * 1024): PlainRecord[] {
    const found: PlainRecord[] = []
    const result = newReadResult()
    for (let offset = from; offset < this.log.offsets.highWatermark; ) {
      let region = Buffer.alloc(maxBytes)
      this.log.read(offset, maxBytes, region, result)
      if (result.neededBytes > 0) {
        region = Buffer.alloc(result.neededBytes)
        this.log.read(offset, result.neededBytes, region, result)
      }
      if (result.error !== Errors.NONE) throw new Error(`read ${offset}: ${result.error}`)
      if (result.nextOffset <= offset) throw new Error(`no way on from offset ${offset}`)
      const bytes = region.subarray(result.start, result.start + result.length)
      for (const batch of batches(bytes)) {
        if (isControl(attributesAt(batch, 0))) continue
        found.push(...plainRecords(batch as Buffer).filter(record => record.offset >= offset))
      }
      offset = result.nextOffset
    }
    return found
  }

  /** Names that only last while something is under way. */
  leftovers(): string[] {
    return this.names().filter(name => /cleaned|swap|tmp|\.new$/.test(name))
  }
}
