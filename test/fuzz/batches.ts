/**
 * Record batches for produce requests: good ones, and ones that lie about themselves. Half of the liars have a good
 * CRC, so that what looks behind it is reached. Pure, seeded.
 */
import { type CodecName, codecNames } from '../../src/protocol/compression.ts'
import { crc32c } from '../../src/protocol/crc32c.ts'
import { encodeBatch, type RecordToEncode } from '../../src/protocol/record-batch.ts'
import type { Random } from '../torture/random.ts'
import { oddBytes, oddInteger } from './odd-values.ts'
import type { World } from './world.ts'

/** Offset, width and name of the numbers in the header of a batch. */
const headerNumbers = [
  [0, 64],
  [8, 32],
  [12, 32],
  [16, 8],
  [17, 32],
  [21, 16],
  [23, 32],
  [27, 64],
  [35, 64],
  [43, 64],
  [51, 16],
  [53, 32],
  [57, 32],
] as const
const headerBytes = 61
const crcAt = 17
const coveredFrom = 21

/** What a producer would send. */
export function goodBatch(random: Random, world: World): Buffer {
  const records = Array.from({ length: random.between(1, 4) }, (): RecordToEncode => {
    const headers = random.chance(0.2) ? [['h', Buffer.from('v')] as const] : []
    const key = random.chance(0.8) ? Buffer.from(`k${random.between(0, 9)}`) : null
    const value = random.chance(0.9) ? Buffer.alloc(random.between(0, 200), 'fuzz') : null
    return { key, value, headers }
  })
  const isIdempotent = random.chance(0.3)
  return encodeBatch({
    records,
    timestampMs: random.chance(0.8) ? 1_750_000_000_000 : random.between(0, 2 ** 40),
    codec: random.chance(0.5) ? 'none' : random.pick<CodecName>(codecNames),
    producerId: isIdempotent ? world.producerId : -1,
    producerEpoch: isIdempotent ? random.between(0, 1) : -1,
    baseSequence: isIdempotent ? random.between(0, 8) : -1,
  })
}

/** A batch with one to three things wrong. */
export function badBatch(random: Random, world: World): Buffer {
  let batch: Buffer = goodBatch(random, world)
  for (let left = random.between(1, 3); left > 0; left--) batch = damaged(batch, random, world)
  if (random.chance(0.6)) fixCrc(batch)
  return batch
}

function damaged(batch: Buffer, random: Random, world: World): Buffer {
  switch (random.between(0, 6)) {
    case 0:
    case 1:
      if (batch.length >= headerBytes) putOdd(batch, random)
      return batch
    case 2:
      if (batch.length > headerBytes) {
        const at = random.between(headerBytes, batch.length - 1)
        batch[at] = random.pick([0, 1, 0x7f, 0x80, 0xff])
      }
      return batch
    case 3:
      return resized(batch.subarray(0, random.between(0, batch.length)), random)
    case 4:
      return resized(Buffer.concat([batch, oddBytes(random)]), random)
    case 5:
      return Buffer.concat([batch, goodBatch(random, world)])
    default:
      return oldMessage(random)
  }
}

function putOdd(batch: Buffer, random: Random): void {
  const [at, bits] = random.pick(headerNumbers)
  const value = oddInteger(random, bits)
  if (bits === 8) batch.writeInt8(Number(value), at)
  else if (bits === 16) batch.writeInt16BE(Number(value), at)
  else if (bits === 32) batch.writeInt32BE(Number(value), at)
  else batch.writeBigInt64BE(value, at)
}

/** Where the length still fits, it says so. */
function resized(bytes: Buffer, random: Random): Buffer {
  const batch = Buffer.from(bytes)
  if (batch.length >= 12 && random.chance(0.7)) batch.writeInt32BE(batch.length - 12, 8)
  return batch
}

function fixCrc(batch: Buffer): void {
  if (batch.length < headerBytes) return
  const end = Math.min(batch.length, 12 + Math.max(0, batch.readInt32BE(8)))
  if (end > coveredFrom) batch.writeUInt32BE(crc32c(batch.subarray(coveredFrom, end)), crcAt)
}

/** A message of magic 0, 1 or 3. */
function oldMessage(random: Random): Buffer {
  const bytes = Buffer.alloc(random.between(17, 80))
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes[16] = random.pick([0, 1, 3, 0x7f])
  return bytes
}
