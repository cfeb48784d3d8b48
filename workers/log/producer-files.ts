/**
 * Producer state on disk, two files of the same offset. Owner threads and recovery tasks.
 *
 * `.snapshot`, Kafka's ProducerSnapshot v1, so that Kafka's tools can read the directory; it knows only the last batch:
 *   | version i16 = 1 | CRC-32C u32 of what follows | count i32 | entries |
 *   entry: producerId i64, epoch i16, lastSequence i32, lastOffset i64, offsetDelta i32, timestamp i64,
 *          coordinatorEpoch i32 = -1, currentTxnFirstOffset i64 = -1; lastSequence -1 where only the epoch is known
 *
 * `.window`, ours, with the whole windows (retries of any of the last five batches must be recognised after a restart):
 *   | version i16 = 1 | CRC-32C u32 of what follows | offset i64 | count i32 | entries |
 *   entry: producerId i64, epoch i16, lastUsed i64, batches i8, then oldest first:
 *          firstSequence i32, lastSequence i32, baseOffset i64, timestamp i64
 *
 * A window file is written only after everything below its offset was synced, so it also proves a recovery point. Both
 * are caches: lost or bad, the state is rebuilt from the log.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { logFilePath } from './files.ts'
import { ProducerEntry, ProducerState, WINDOW_BATCHES } from './producer-state.ts'

const VERSION = 1
const CHECKED_FROM = 6
const SNAPSHOT_HEAD = 10
const SNAPSHOT_ENTRY = 46
const WINDOW_HEAD = 18
const WINDOW_ENTRY_HEAD = 19
const WINDOW_BATCH = 24

export function encodeWindow(producers: ProducerState, offset: number): Buffer {
  let batches = 0
  for (const entry of producers.entries.values()) batches += entry.count
  const bytes = Buffer.alloc(
    WINDOW_HEAD + producers.entries.size * WINDOW_ENTRY_HEAD + batches * WINDOW_BATCH,
  )
  putInt64(bytes, 6, offset)
  bytes.writeInt32BE(producers.entries.size, 14)
  let at = WINDOW_HEAD
  for (const [producerId, entry] of producers.entries) {
    putInt64(bytes, at, producerId)
    bytes.writeInt16BE(entry.epoch, at + 8)
    putInt64(bytes, at + 10, entry.lastUsedMs)
    bytes.writeInt8(entry.count, at + 18)
    at += WINDOW_ENTRY_HEAD
    for (let age = entry.count - 1; age >= 0; age--) {
      bytes.writeInt32BE(entry.firstSequence(age), at)
      bytes.writeInt32BE(entry.lastSequence(age), at + 4)
      putInt64(bytes, at + 8, entry.baseOffset(age))
      putInt64(bytes, at + 16, entry.timestampMs(age))
      at += WINDOW_BATCH
    }
  }
  return seal(bytes)
}

/** Null when the bytes are not a whole window file of this offset. */
export function decodeWindow(bytes: Buffer, offset: number): ProducerState | null {
  if (!isSealed(bytes, WINDOW_HEAD) || int64(bytes, 6) !== offset) return null
  const producers = new ProducerState()
  const count = bytes.readInt32BE(14)
  let at = WINDOW_HEAD
  for (let index = 0; index < count; index++) {
    if (at + WINDOW_ENTRY_HEAD > bytes.length) return null
    const entry = new ProducerEntry()
    entry.epoch = bytes.readInt16BE(at + 8)
    entry.lastUsedMs = int64(bytes, at + 10)
    producers.entries.set(int64(bytes, at), entry)
    const batches = bytes.readInt8(at + 18)
    at += WINDOW_ENTRY_HEAD
    if (batches < 0 || batches > WINDOW_BATCHES || at + batches * WINDOW_BATCH > bytes.length) {
      return null
    }
    for (let batch = 0; batch < batches; batch++) {
      const [first, last] = [bytes.readInt32BE(at), bytes.readInt32BE(at + 4)]
      entry.push(first, last, int64(bytes, at + 8), int64(bytes, at + 16))
      at += WINDOW_BATCH
    }
  }
  return at === bytes.length ? producers : null
}

export function encodeSnapshot(producers: ProducerState): Buffer {
  const bytes = Buffer.alloc(SNAPSHOT_HEAD + producers.entries.size * SNAPSHOT_ENTRY)
  bytes.writeInt32BE(producers.entries.size, 6)
  let at = SNAPSHOT_HEAD
  for (const [producerId, entry] of producers.entries) {
    putInt64(bytes, at, producerId)
    bytes.writeInt16BE(entry.epoch, at + 8)
    const isEmpty = entry.count === 0
    bytes.writeInt32BE(isEmpty ? -1 : entry.lastSequence(0), at + 10)
    putInt64(bytes, at + 14, isEmpty ? -1 : entry.lastOffset(0))
    bytes.writeInt32BE(isEmpty ? 0 : entry.lastOffset(0) - entry.baseOffset(0), at + 22)
    putInt64(bytes, at + 26, isEmpty ? -1 : entry.timestampMs(0))
    bytes.writeInt32BE(-1, at + 34)
    putInt64(bytes, at + 38, -1)
    at += SNAPSHOT_ENTRY
  }
  return seal(bytes)
}

/** Null when the bytes are not a whole snapshot. `nowMs` stands for the time of last use, which is not in it. */
export function decodeSnapshot(bytes: Buffer, nowMs: number): ProducerState | null {
  if (!isSealed(bytes, SNAPSHOT_HEAD)) return null
  const count = bytes.readInt32BE(6)
  if (bytes.length !== SNAPSHOT_HEAD + count * SNAPSHOT_ENTRY) return null
  const producers = new ProducerState()
  for (let at = SNAPSHOT_HEAD; at < bytes.length; at += SNAPSHOT_ENTRY) {
    const lastSequence = bytes.readInt32BE(at + 10)
    const lastOffset = int64(bytes, at + 14)
    const delta = bytes.readInt32BE(at + 22)
    const firstSequence = lastSequence - delta
    const wrapped = firstSequence < 0 ? firstSequence + 2 ** 31 : firstSequence
    const entry = new ProducerEntry()
    entry.epoch = bytes.readInt16BE(at + 8)
    entry.lastUsedMs = nowMs
    // A transaction's end may have raised the epoch, with no batch since: older ones stay fenced all the same.
    if (lastSequence >= 0)
      entry.push(wrapped, lastSequence, lastOffset - delta, int64(bytes, at + 26))
    producers.entries.set(int64(bytes, at), entry)
  }
  return producers
}

export interface ProducersAt {
  readonly producers: ProducerState
  /** Batches from here on are not in it yet. */
  readonly offset: number
}

/** The newest readable window file; null when there is none. */
export function newestWindow(
  disk: Disk,
  directory: string,
  offsets: readonly number[],
): ProducersAt | null {
  for (const offset of offsets.toReversed()) {
    const producers = readWindow(disk, logFilePath(directory, offset, 'window'), offset)
    if (producers !== null) return { offset, producers }
  }
  return null
}

export function readWindow(disk: Disk, path: string, offset: number): ProducerState | null {
  try {
    return decodeWindow(disk.readFile(path), offset)
  } catch {
    return null
  }
}

function seal(bytes: Buffer): Buffer {
  bytes.writeInt16BE(VERSION, 0)
  bytes.writeUInt32BE(crc32c(bytes.subarray(CHECKED_FROM)), 2)
  return bytes
}

function isSealed(bytes: Buffer, headBytes: number): boolean {
  return (
    bytes.length >= headBytes &&
    bytes.readInt16BE(0) === VERSION &&
    bytes.readUInt32BE(2) === crc32c(bytes.subarray(CHECKED_FROM))
  )
}

function putInt64(bytes: Buffer, at: number, value: number): void {
  const high = Math.floor(value / 2 ** 32)
  bytes.writeInt32BE(high, at)
  bytes.writeUInt32BE(value - high * 2 ** 32, at + 4)
}

function int64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}
