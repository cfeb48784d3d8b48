/** Sealed segments made by hand, compacted without a log around them, and what a reader then finds in them. */

import type { CodecName } from '../../src/protocol/compression.ts'
import { encodeBatch, type RecordToEncode } from '../../src/protocol/encode-batch.ts'
import {
  attributesAt,
  baseOffsetAt,
  batchBytesAt,
  isControl,
  isCrcValid,
  lastOffsetAt,
  patchAppend,
} from '../../src/protocol/record-batch.ts'
import { records } from '../../src/protocol/records.ts'
import { cleanedIndexPath } from '../../workers/log/compaction/cleaned-file.ts'
import {
  type CompactionInput,
  type CompactionOutput,
  type CompactionSource,
  compactSegments,
} from '../../workers/log/compaction/compact-segments.ts'
import { cleanedPath } from '../../workers/log/swap.ts'
import { FaultDisk } from '../support/fault-disk.ts'

export const directory = '/data/t-0'

export interface PlainRecord {
  readonly offset: number
  readonly timestampMs: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: string
}

export interface BatchPlan {
  readonly records: readonly RecordToEncode[]
  readonly codec?: CodecName
  readonly producerId?: number
  readonly baseSequence?: number
}

/** The sealed segments of a log that nobody serves. */
export class SegmentPile {
  readonly disk = new FaultDisk()
  sources: CompactionSource[] = []
  endOffset = 0
  dirtyStart = 0
  nowMs = 1_000_000

  constructor() {
    this.disk.mkdir('/data')
    this.disk.mkdir(directory)
  }

  /** One more segment. */
  add(...batches: readonly BatchPlan[]): this {
    return this.addBytes(
      batches.map(plan =>
        encodeBatch({
          timestampMs: 1_000,
          producerEpoch: plan.producerId === undefined ? -1 : 0,
          ...plan,
        }),
      ),
    )
  }

  /** Batches as they are, but for their offsets. */
  addBytes(batches: readonly Buffer[]): this {
    const baseOffset = this.endOffset
    for (const batch of batches) {
      patchAppend(batch, this.endOffset, 0)
      this.endOffset = lastOffsetAt(batch, 0) + 1
    }
    const bytes = Buffer.concat(batches)
    this.disk.setBytes(this.path(baseOffset), bytes)
    const appendedMs = this.nowMs
    this.sources.push({
      baseOffset,
      endOffset: this.endOffset,
      sizeBytes: bytes.length,
      appendedMs,
    })
    return this
  }

  path(baseOffset: number): string {
    return `${directory}/${String(baseOffset).padStart(20, '0')}.log`
  }

  /** One pass, put in place at once. */
  compact(options: Partial<CompactionInput> = {}): CompactionOutput {
    const output = compactSegments(this.disk, this.input(options))
    for (const range of output.cleaned) {
      const inRange = ({ baseOffset }: CompactionSource): boolean =>
        baseOffset >= range.baseOffset && baseOffset < range.endOffset
      for (const { baseOffset } of this.sources.filter(inRange)) {
        this.disk.unlink(this.path(baseOffset))
      }
      this.disk.rename(cleanedPath(directory, range), this.path(range.baseOffset))
      this.disk.unlink(cleanedIndexPath(directory, range, 'index'))
      this.disk.unlink(cleanedIndexPath(directory, range, 'timeindex'))
      this.sources = [...this.sources.filter(source => !inRange(source)), range]
      this.sources.sort((a, b) => a.baseOffset - b.baseOffset)
    }
    this.dirtyStart = output.mapEnd
    return output
  }

  input(options: Partial<CompactionInput> = {}): CompactionInput {
    return {
      directory,
      sources: this.sources,
      dirtyStart: this.dirtyStart,
      mapBytes: 1024 * 1024,
      nowMs: this.nowMs,
      deleteRetentionMs: 1_000,
      segmentBytesMax: 2 ** 30,
      indexBytesMax: 10 * 1024 * 1024,
      indexIntervalBytes: 4096,
      remembered: new Float64Array(),
      reserveBytes: 0,
      ...options,
    }
  }

  /** Throws unless they are valid and rise. */
  batches(): Buffer[] {
    const all: Buffer[] = []
    let nextOffset = 0
    for (const { baseOffset, endOffset } of this.sources) {
      const bytes = this.disk.bytesOf(this.path(baseOffset))
      nextOffset = Math.max(nextOffset, baseOffset)
      for (let at = 0; at < bytes.length; ) {
        const size = batchBytesAt(bytes, at)
        if (!isCrcValid(bytes, at, size)) throw new Error('bad checksum')
        if (baseOffsetAt(bytes, at) < nextOffset) throw new Error('offsets went back')
        nextOffset = lastOffsetAt(bytes, at) + 1
        if (nextOffset > endOffset) throw new Error('a batch reaches into the next segment')
        all.push(Buffer.from(bytes.subarray(at, at + size)))
        at += size
      }
    }
    return all
  }

  records(): PlainRecord[] {
    return this.batches()
      .filter(batch => !isControl(attributesAt(batch, 0)))
      .flatMap(plainRecords)
  }
}

export function plainRecords(batch: Buffer): PlainRecord[] {
  return [...records(batch)].map(({ offset, timestampMs, key, value, headers }) => ({
    offset,
    timestampMs,
    key: key === null ? null : Buffer.from(key).toString('latin1'),
    value: value === null ? null : Buffer.from(value).toString('latin1'),
    headers: JSON.stringify(headers.map(([name, content]) => [name, content && [...content]])),
  }))
}

/** `k=v` pairs; `k` alone is a tombstone, `k=` an empty value. */
export function updates(...pairs: readonly string[]): RecordToEncode[] {
  return pairs.map(pair => {
    const [key, value] = pair.split('=')
    return { key: Buffer.from(key), value: value === undefined ? null : Buffer.from(value) }
  })
}

export function pairsOf(found: readonly PlainRecord[]): string[] {
  return found.map(
    ({ offset, key, value }) => `${offset}:${key}${value === null ? '' : `=${value}`}`,
  )
}
