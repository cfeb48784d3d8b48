/** What the tests of the log share: a log on a fault disk with a clock that stands still, and batches to put in. */
import { expect } from 'vitest'
import type { PartitionSpec, RecoveryVerdict } from '../../src/contracts/control.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { encodeBatch } from '../../src/protocol/encode-batch.ts'
import { Errors } from '../../src/protocol/errors.ts'
import {
  baseOffsetAt,
  batchBytesAt,
  isCrcValid,
  lastOffsetAt,
} from '../../src/protocol/record-batch.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import type { LostRange } from '../../workers/log/quarantine.ts'
import { type AppendResult, newAppendResult, newReadResult } from '../../workers/log/results.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { FaultDisk } from '../support/fault-disk.ts'

export const directory = '/data/t-0'
export const topicId = 'abcdefghijklmnopqrstuw'

export const baseConfig: LogConfig = {
  segmentBytesMax: 2 ** 30,
  segmentAgeMsMax: Number.MAX_SAFE_INTEGER,
  indexBytesMax: 10 * 1024 * 1024,
  indexIntervalBytes: 4096,
  batchBytesMax: 1024 * 1024,
  timestampType: 'CreateTime',
  flushPolicy: 'group-commit',
  flushMessages: Number.MAX_SAFE_INTEGER,
  flushMs: Number.MAX_SAFE_INTEGER,
  cleanupDelete: true,
  cleanupCompact: false,
  retentionMs: Number.POSITIVE_INFINITY,
  retentionBytes: Number.POSITIVE_INFINITY,
  deleteRetentionMs: 86_400_000,
  minCleanableRatio: 0.5,
  minCompactionLagMs: 0,
  maxCompactionLagMs: Number.POSITIVE_INFINITY,
  timestampBeforeMsMax: Number.POSITIVE_INFINITY,
  timestampAfterMsMax: Number.POSITIVE_INFINITY,
  isInternal: false,
}

export interface BatchOptions {
  readonly records?: number
  readonly valueBytes?: number
  /** Makes the content of the values unlike that of other batches. */
  readonly mark?: number
  readonly timestampMs?: number
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
}

export function makeBatch(options: BatchOptions = {}): Buffer {
  const { records = 1, valueBytes = 20, mark = 0, timestampMs = 1_000 } = options
  return encodeBatch({
    records: Array.from({ length: records }, (_, index) => ({
      key: null,
      value: Buffer.alloc(valueBytes, `${mark}.${index};`),
    })),
    timestampMs,
    producerId: options.producerId,
    producerEpoch: options.producerEpoch,
    baseSequence: options.baseSequence,
  })
}

export interface OpenOptions {
  readonly recover?: boolean
  readonly recoveryPoint?: number
  readonly logStart?: number
  /** Default: as at the start of a process, when `recover` is set. */
  readonly copyForward?: boolean
  readonly flushedOffset?: number
  readonly verdict?: RecoveryVerdict | null
  readonly topicId?: string
}

export class LogHarness {
  readonly disk: FaultDisk
  readonly clock = new FakeClock()
  config: LogConfig
  log!: PartitionLog
  advances = 0
  readonly failures: Error[] = []
  /** Answers may have gaps: compaction. */
  isGappy = false
  onLost: (range: LostRange) => void = () => {}

  constructor(config: Partial<LogConfig> = {}, disk = new FaultDisk()) {
    this.disk = disk
    disk.wallMs = () => this.clock.wallMs()
    this.config = { ...baseConfig, ...config }
    if (!disk.exists('/data')) disk.mkdir('/data')
    // The data directory itself is not the log's business.
    disk.syncDirectory('/')
  }

  spec(options: OpenOptions = {}): PartitionSpec {
    const isOs = this.config.flushPolicy === 'os'
    return {
      topic: 't',
      topicId: options.topicId ?? topicId,
      partition: 0,
      slot: 3,
      generation: 1,
      directory,
      config: this.config,
      recover: options.recover ?? false,
      verdict: options.verdict ?? null,
      recoveryPoint: options.recoveryPoint ?? 0,
      logStart: options.logStart,
      copyForward: options.copyForward ?? (options.recover === true && !isOs),
      flushedOffset: options.flushedOffset ?? -1,
    }
  }

  open(options: OpenOptions = {}): this {
    this.log = PartitionLog.open({
      spec: this.spec(options),
      env: { disk: this.disk, clock: this.clock },
      onAdvance: () => {
        this.advances++
      },
      onFailure: (_, error) => {
        this.failures.push(error)
      },
      onLost: (_, range) => this.onLost(range),
    })
    return this
  }

  /** Stages the batches and commits them; the results are in order. Throws on a commit error. */
  append(...batches: Buffer[]): AppendResult[] {
    const results = batches.map(batch => this.stage(batch))
    const error = this.log.commit()
    if (error !== Errors.NONE) throw Object.assign(new Error(`commit: ${error}`), { error })
    return results
  }

  stage(batch: Buffer, apiVersion = 9): AppendResult {
    const result = newAppendResult()
    this.log.stage(batch, apiVersion, result)
    return result
  }

  /** Finishes all syncs, also those that start meanwhile. */
  settle(): void {
    while (this.disk.completeSyncs() > 0);
  }

  /** As an owner does: wait for syncs, then close. */
  closeClean(): boolean {
    this.settle()
    return this.log.close({ clean: true })
  }

  /** Everything below the high watermark, batch by batch, through `read`. */
  readAll(from = this.log.offsets.logStart, maxBytes = 64 * 1024): Buffer[] {
    const batches: Buffer[] = []
    for (let offset = from; offset < this.log.offsets.highWatermark; ) {
      const { bytes, nextOffset } = this.read(offset, maxBytes)
      batches.push(...splitBatches(bytes, this.isGappy))
      offset = nextOffset
    }
    return batches
  }

  /** One fetch, asked again with room for the first batch where that is too large. Throws on an error code. */
  read(offset: number, maxBytes = 64 * 1024): { bytes: Buffer; nextOffset: number } {
    const result = newReadResult()
    let region = Buffer.alloc(maxBytes, 0xee)
    this.log.read(offset, maxBytes, region, result)
    if (result.neededBytes > 0) {
      region = Buffer.alloc(result.neededBytes)
      this.log.read(offset, result.neededBytes, region, result)
    }
    if (result.error !== Errors.NONE) {
      throw Object.assign(new Error(`read ${offset}: ${result.error}`), { error: result.error })
    }
    const { start, length, nextOffset } = result
    return { bytes: region.subarray(start, start + length), nextOffset }
  }

  path(offset: number, suffix: string): string {
    return `${directory}/${String(offset).padStart(20, '0')}.${suffix}`
  }

  names(): string[] {
    return this.disk.list(directory).sort()
  }
}

/** Cuts a fetch answer into batches; throws unless it holds whole, valid and dense ones. */
export function splitBatches(bytes: Buffer, isGappy = false): Buffer[] {
  const batches: Buffer[] = []
  let expected = -1
  for (let at = 0; at < bytes.length; ) {
    const size = batchBytesAt(bytes, at)
    if (at + size > bytes.length || !isCrcValid(bytes, at, size)) throw new Error('bad batch')
    const isDense = expected < 0 || baseOffsetAt(bytes, at) === expected
    if (!isDense && !isGappy) throw new Error('gap in an answer')
    expected = lastOffsetAt(bytes, at) + 1
    batches.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return batches
}

/** The batch as it must lie in the log: only the base offset and the leader epoch differ from what was sent. */
export function stored(batch: Buffer, baseOffset: number): Buffer {
  const copy = Buffer.from(batch)
  copy.writeBigInt64BE(BigInt(baseOffset), 0)
  copy.writeInt32BE(0, 12)
  return copy
}

/** Compares byte for byte; fast where they are equal. */
export function expectSame(got: readonly Buffer[], wanted: readonly Buffer[]): void {
  const isSame =
    got.length === wanted.length && got.every((batch, index) => batch.equals(wanted[index]))
  if (!isSame) expect(got).toEqual(wanted)
}
