/**
 * A round in an owner's journal: the batches that one turn appended to many logs, written with one call. Owner threads
 * and the replay task. Numbers are big-endian.
 *
 *   header  | magic | crc | epoch | generation | round | records | bytes |      32 bytes; bytes: of the whole round
 *   records | topic id | partition | segment base | position | base offset | end offset | bytes |   56 bytes each
 *   batches   of all records behind each other, as they are stored in the segments
 *
 * The CRC-32C covers everything behind it. Epoch: one use of the file pair; generation: one pass over a file; rounds
 * count from 0 in each. A round that is not whole, or not the next one, ends its file.
 */
import { RECORD_COUNT_AT, ROUND_HEADER_BYTES } from '../../src/contracts/journal.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'

const MAGIC = 0x6f64726a
export const HEADER_BYTES = ROUND_HEADER_BYTES
const RECORD_BYTES = 56
const CRC_AT = 4
const CRC_START = 8

export interface RoundHeader {
  readonly epoch: number
  readonly generation: number
  readonly round: number
  readonly recordCount: number
  /** Of all of the round. */
  readonly bytes: number
}

/** Batches of one log that lie behind each other in one segment. */
export interface JournalRecord {
  /** As in the topic's metadata: 22 characters of base64url. */
  readonly topicId: string
  readonly partition: number
  readonly segmentBase: number
  /** Of the first batch, in its segment. */
  readonly position: number
  readonly baseOffset: number
  /** Exclusive. */
  readonly endOffset: number
  readonly bytes: number
}

/** Bytes of a round's header and records. */
export function headBytes(recordCount: number): number {
  return HEADER_BYTES + recordCount * RECORD_BYTES
}

/** Writes the head into the start of `into`, with the checksum of all of the round; returns the head's bytes. */
export function encodeHead(
  into: Buffer,
  header: Omit<RoundHeader, 'recordCount'>,
  records: readonly JournalRecord[],
  batches: readonly Uint8Array[],
): number {
  const end = headBytes(records.length)
  into.fill(0, 0, end)
  into.writeUInt32BE(MAGIC, 0)
  writeLong(into, header.epoch, 8)
  into.writeUInt32BE(header.generation, 16)
  into.writeUInt32BE(header.round, 20)
  into.writeUInt32BE(records.length, RECORD_COUNT_AT)
  into.writeUInt32BE(header.bytes, 28)
  let at = HEADER_BYTES
  for (const record of records) {
    encodeRecord(into, at, record)
    at += RECORD_BYTES
  }
  let crc = crc32c(into.subarray(CRC_START, end))
  for (const batch of batches) crc = crc32c(batch, crc)
  into.writeUInt32BE(crc, CRC_AT)
  return end
}

function encodeRecord(into: Buffer, at: number, record: JournalRecord): void {
  into.write(record.topicId, at, 16, 'base64url')
  into.writeUInt32BE(record.partition, at + 16)
  writeLong(into, record.segmentBase, at + 20)
  into.writeUInt32BE(record.position, at + 28)
  writeLong(into, record.baseOffset, at + 32)
  writeLong(into, record.endOffset, at + 40)
  into.writeUInt32BE(record.bytes, at + 48)
}

/** Null when no header is there. Sizes are not checked against anything but themselves. */
export function decodeHeader(bytes: Buffer): RoundHeader | null {
  if (bytes.length < HEADER_BYTES || bytes.readUInt32BE(0) !== MAGIC) return null
  const recordCount = bytes.readUInt32BE(RECORD_COUNT_AT)
  const roundBytes = bytes.readUInt32BE(28)
  const epoch = readLong(bytes, 8)
  if (roundBytes < headBytes(recordCount) || !Number.isSafeInteger(epoch)) return null
  const generation = bytes.readUInt32BE(16)
  const round = bytes.readUInt32BE(20)
  return { epoch, generation, round, recordCount, bytes: roundBytes }
}

/** The records of a whole round; null when its checksum or its sizes are not right. */
export function decodeRecords(round: Buffer, { recordCount }: RoundHeader): JournalRecord[] | null {
  if (crc32c(round.subarray(CRC_START)) !== round.readUInt32BE(CRC_AT)) return null
  const records: JournalRecord[] = []
  let left = round.length - headBytes(recordCount)
  for (let at = HEADER_BYTES; records.length < recordCount; at += RECORD_BYTES) {
    const record = decodeRecord(round, at)
    left -= record.bytes
    records.push(record)
  }
  return left === 0 ? records : null
}

function decodeRecord(bytes: Buffer, at: number): JournalRecord {
  return {
    topicId: bytes.toString('base64url', at, at + 16),
    partition: bytes.readUInt32BE(at + 16),
    segmentBase: readLong(bytes, at + 20),
    position: bytes.readUInt32BE(at + 28),
    baseOffset: readLong(bytes, at + 32),
    endOffset: readLong(bytes, at + 40),
    bytes: bytes.readUInt32BE(at + 48),
  }
}

function writeLong(into: Buffer, value: number, at: number): void {
  into.writeUInt32BE(Math.floor(value / 2 ** 32), at)
  into.writeUInt32BE(value % 2 ** 32, at + 4)
}

function readLong(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4)
}
