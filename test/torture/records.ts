/**
 * Records that tell who they are: key, value and timestamp follow from the number of the writer's lane and the sequence
 * number, so a checker knows every byte of a record that it has never kept.
 *
 *   value | lane u32 | seq u32 | hash u32 | filler: a slice of one pseudo-random table, position and length by hash |
 */
import type { RecordToEncode } from '../../src/protocol/record-batch.ts'
import { Random } from './random.ts'

/** What one producer sends to one partition, in this order. */
export interface Lane {
  readonly id: number
  readonly partition: number
  /** Stored exactly once, in order, without a gap: idempotent producers. Else at most once, in order. */
  readonly isExactlyOnce: boolean
  readonly acks: 1 | -1
  /** Every record has a key: the topic is compacted. */
  readonly isKeyed?: boolean
  /** Timestamp of record 0; each next one is a millisecond later. */
  readonly baseTimestampMs: number
}

/** A record as it was read. */
export interface ReadRecord {
  readonly offset: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly timestampMs: number
}

const headBytes = 12
const fillerBytesMax = 6000
const table = fillTable(64 * 1024)

function fillTable(sizeBytes: number): Buffer {
  const random = new Random(20110612)
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 0; at < sizeBytes; at++) bytes[at] = random.between(0, 255)
  return bytes
}

function hashOf(lane: number, seq: number): number {
  let hash = Math.imul(lane ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(seq + 1, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (hash ^ (hash >>> 13)) >>> 0
}

/** Most records are small; one in 500 is a large one. */
function fillerOf(hash: number): Buffer {
  const length = hash % 500 === 0 ? (hash >>> 9) % fillerBytesMax : (hash >>> 9) % 240
  const start = (hash >>> 3) % (table.length - fillerBytesMax)
  return table.subarray(start, start + length)
}

function keyOf(hash: number, { isKeyed }: Lane): Buffer | null {
  return hash % 4 === 0 && isKeyed !== true ? null : Buffer.from(`key ${hash % 53}`)
}

/** Of record `seq` of a lane. */
export function keyText(lane: Lane, seq: number): string {
  return String(keyOf(hashOf(lane.id, seq), lane))
}

/** Record `seq` of a lane, ready to be sent. */
export function recordOf(lane: Lane, seq: number): RecordToEncode {
  const hash = hashOf(lane.id, seq)
  const filler = fillerOf(hash)
  const value = Buffer.allocUnsafe(headBytes + filler.length)
  value.writeUInt32BE(lane.id, 0)
  value.writeUInt32BE(seq, 4)
  value.writeUInt32BE(hash, 8)
  value.set(filler, headBytes)
  return { key: keyOf(hash, lane), value, timestampMs: lane.baseTimestampMs + seq }
}

/** Who a value says it is; null when it is none of ours. */
export function claimedBy(value: Uint8Array | null): { lane: number; seq: number } | null {
  if (value === null || value.length < headBytes) return null
  const view = new DataView(value.buffer, value.byteOffset, headBytes)
  const [lane, seq] = [view.getUint32(0), view.getUint32(4)]
  return view.getUint32(8) === hashOf(lane, seq) ? { lane, seq } : null
}

/** Whether every byte is what was sent as record `seq` of this lane. */
export function isIntact(record: ReadRecord, lane: Lane, seq: number): boolean {
  const { key, value, timestampMs } = record
  const hash = hashOf(lane.id, seq)
  const filler = fillerOf(hash)
  if (value === null || timestampMs !== lane.baseTimestampMs + seq) return false
  if (!filler.equals(value.subarray(headBytes))) return false
  const expectedKey = keyOf(hash, lane)
  if (expectedKey === null || key === null) return expectedKey === key
  return expectedKey.equals(key)
}
