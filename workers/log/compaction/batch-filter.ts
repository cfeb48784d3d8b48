/**
 * What compaction leaves of one batch. Compaction tasks; pure.
 *
 *   every record stays            the batch itself, byte for byte
 *   some stay                     same header, base offset and last offset; fewer records, same codec
 *   none stays                    nothing, or an empty batch where its offsets or sequences must be remembered
 *
 * A record stays if it is the newest of its key, or lies behind the key map. The rules for tombstones are Kafka's
 * (KIP-534): the first pass that keeps one writes into its batch when it may go, the delete horizon: the base timestamp
 * field then holds that time and attribute bit 6 says so. The records' timestamps stay what they were, only the deltas
 * change. A later pass drops tombstones whose horizon lies in the past, unless older records of their keys may still be
 * there: in a batch before them that could not be looked into.
 */
import { codecNames, compress } from '../../../src/protocol/compression.ts'
import {
  putVarint,
  putVarlong,
  varintBytes,
  varlongBytes,
} from '../../../src/protocol/encode-batch.ts'
import {
  attributesAt,
  baseTimestampAt,
  codecAt,
  hasDeleteHorizon,
  isControl,
  isLogAppendTime,
  isTransactional,
  lastOffsetAt,
  maxTimestampAt,
  recordCountAt,
  withRecords,
} from '../../../src/protocol/record-batch.ts'
import { BatchRecords } from './batch-records.ts'
import type { KeyMap } from './key-map.ts'

export interface FilterRules {
  readonly keys: KeyMap
  /** Records from here on are not in the map and stay. */
  readonly mapEnd: number
  readonly nowMs: number
  readonly deleteRetentionMs: number
  /** Of one batch; without it the default of decompressed.max.bytes. */
  readonly decompressedBytesMax?: number
}

/** Far beyond any date, and its difference to any timestamp is exact. */
const HORIZON_MS_MAX = 2 ** 50
const TIMESTAMP_MS_MAX = 2 ** 51
const NO_TIMESTAMP = -1

export class BatchFilter {
  recordsRemoved = 0
  /** Batches whose records could not be read: all of them stay. */
  unreadable = 0
  /** Records that a tombstone may have to hide were kept unseen. */
  #hasUnseen = false
  readonly #rules: FilterRules
  readonly #records: BatchRecords
  readonly #kept = new KeptRecords()

  constructor(rules: FilterRules) {
    this.#rules = rules
    this.#records = new BatchRecords(rules.decompressedBytesMax)
  }

  /** Null when nothing is left and the batch need not be `remembered`. The answer may be `batch` itself. */
  apply(batch: Buffer, isRemembered: boolean): Buffer | null {
    const attributes = attributesAt(batch, 0)
    if (recordCountAt(batch, 0) === 0) return isRemembered ? batch : null
    // Markers and records of transactions are for somebody who knows their outcome.
    if (isControl(attributes)) return batch
    if (isTransactional(attributes)) {
      this.#hasUnseen = true
      return batch
    }
    const kept = this.#records.open(batch) ? this.#select(batch) : null
    if (kept === null || !kept.areTimestampsSane) {
      this.unreadable++
      this.#hasUnseen = true
      return batch
    }
    const count = recordCountAt(batch, 0)
    this.recordsRemoved += count - kept.count
    if (kept.count === 0) return isRemembered ? emptied(batch) : null
    const needsHorizon =
      kept.hasTombstone &&
      !hasDeleteHorizon(attributes) &&
      // A tombstone that is not in the map has removed nothing yet: its time begins with the pass that has it.
      lastOffsetAt(batch, 0) < this.#rules.mapEnd
    if (kept.count === count && !needsHorizon) return batch
    return this.#rebuild(batch, needsHorizon)
  }

  #select(batch: Buffer): KeptRecords {
    const kept = this.#kept
    const records = this.#records
    const baseTimestampMs = baseTimestampAt(batch, 0)
    const { nowMs } = this.#rules
    const isTime = hasDeleteHorizon(attributesAt(batch, 0)) && baseTimestampMs <= nowMs
    const areTombstonesDue = isTime && !this.#hasUnseen
    kept.clear()
    while (records.next()) {
      if (this.#isKept(areTombstonesDue)) kept.add(records, baseTimestampMs)
    }
    return kept
  }

  #isKept(areTombstonesDue: boolean): boolean {
    const { key, offset, isTombstone } = this.#records
    const { keys, mapEnd } = this.#rules
    if (offset >= mapEnd) return true
    if (key === null || offset < keys.offsetOf(key)) return false
    return !(isTombstone && areTombstonesDue)
  }

  #rebuild(batch: Buffer, needsHorizon: boolean): Buffer {
    const kept = this.#kept
    const { nowMs, deleteRetentionMs } = this.#rules
    const oldBaseMs = baseTimestampAt(batch, 0)
    const newBaseMs = needsHorizon ? Math.min(nowMs + deleteRetentionMs, HORIZON_MS_MAX) : oldBaseMs
    const plain = kept.encode(this.#records.plain, oldBaseMs - newBaseMs)
    const codec = codecNames[codecAt(batch, 0)]
    const body = codec === 'none' ? plain : compress(codec, plain)
    const isStamped = isLogAppendTime(attributesAt(batch, 0))
    return withRecords(batch, body, {
      recordCount: kept.count,
      baseTimestampMs: newBaseMs,
      maxTimestampMs: isStamped ? maxTimestampAt(batch, 0) : kept.maxTimestampMs,
      hasDeleteHorizon: needsHorizon || hasDeleteHorizon(attributesAt(batch, 0)),
      codec: codecAt(batch, 0),
    })
  }
}

/** As Kafka leaves it: the header alone, its largest timestamp included. */
function emptied(batch: Buffer): Buffer {
  return withRecords(batch, Buffer.alloc(0), {
    recordCount: 0,
    baseTimestampMs: NO_TIMESTAMP,
    maxTimestampMs: maxTimestampAt(batch, 0),
    hasDeleteHorizon: false,
    codec: 0,
  })
}

const FIELDS = 4

/** The records of one batch that stay, as places in its plain bytes. Reused from batch to batch. */
class KeptRecords {
  count = 0
  hasTombstone = false
  maxTimestampMs = 0
  areTimestampsSane = true
  /** Per record: where its timestamp delta begins and ends, where the record ends, and that delta. */
  #places = new Float64Array(64 * FIELDS)

  clear(): void {
    this.count = 0
    this.hasTombstone = false
    this.maxTimestampMs = Number.NEGATIVE_INFINITY
    this.areTimestampsSane = true
  }

  add(records: BatchRecords, baseTimestampMs: number): void {
    const at = this.count++ * FIELDS
    if (at === this.#places.length) {
      const larger = new Float64Array(at * 2)
      larger.set(this.#places)
      this.#places = larger
    }
    const { deltaStart, deltaEnd, end, timestampDelta } = records
    this.#places[at] = deltaStart
    this.#places[at + 1] = deltaEnd
    this.#places[at + 2] = end
    this.#places[at + 3] = timestampDelta
    const timestampMs = baseTimestampMs + timestampDelta
    this.maxTimestampMs = Math.max(this.maxTimestampMs, timestampMs)
    this.areTimestampsSane &&= Math.abs(timestampMs) <= TIMESTAMP_MS_MAX
    this.hasTombstone ||= records.isTombstone
  }

  /** The records behind each other, with `shiftMs` added to their timestamp deltas. */
  encode(plain: Buffer, shiftMs: number): Buffer {
    let bytes = 0
    for (let index = 0; index < this.count; index++) {
      const body = this.#bodyBytes(index, shiftMs)
      bytes += varintBytes(body) + body
    }
    const into = Buffer.allocUnsafe(bytes)
    let pos = 0
    for (let index = 0; index < this.count; index++) {
      const at = index * FIELDS
      const [deltaStart, deltaEnd, end, delta] = this.#places.subarray(at, at + FIELDS)
      pos = putVarint(into, pos, this.#bodyBytes(index, shiftMs))
      into[pos++] = plain[deltaStart - 1]
      pos = putVarlong(into, pos, delta + shiftMs)
      pos += plain.copy(into, pos, deltaEnd, end)
    }
    return into
  }

  /** Of record `index` without its length. */
  #bodyBytes(index: number, shiftMs: number): number {
    const at = index * FIELDS
    const rest = this.#places[at + 2] - this.#places[at + 1]
    return 1 + varlongBytes(this.#places[at + 3] + shiftMs) + rest
  }
}
