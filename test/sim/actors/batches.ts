/** What producers send: batches whose bytes follow from who sent them and when, so that every one is recognised. */
import type { CodecName } from '../../../src/protocol/compression.ts'
import { encodeBatch } from '../../../src/protocol/encode-batch.ts'
import type { Random } from '../world/random.ts'

export interface SentBatch {
  /** Unique in the simulation. */
  readonly id: number
  readonly slot: number
  /** Index of the producer and its count of batches. */
  readonly producer: number
  readonly number: number
  readonly producerId: number
  readonly epoch: number
  readonly baseSequence: number
  readonly acks: number
  readonly records: readonly { readonly key: Buffer | null; readonly value: Buffer | null }[]
  readonly bytes: Buffer
  /** How often it left the producer. */
  attempts: number
  /** Answered with success, at this offset; -1 before. */
  ackedAt: number
  /** The promise was acks=all while only flushed records could be read. */
  isAckFirm: boolean
  /** Acknowledged, and lost in a way that its acks allow. */
  isLostRightly: boolean
  /** Refused for good: must never be read. */
  isRejected: boolean
}

export interface BatchPlan {
  readonly keyCount: number
  readonly tombstones: boolean
  readonly compressed: boolean
  readonly large: boolean
}

const codecs: readonly CodecName[] = ['gzip', 'lz4', 'zstd', 'snappy']

export function makeSentBatch(
  random: Random,
  plan: BatchPlan,
  from: Pick<
    SentBatch,
    'id' | 'slot' | 'producer' | 'number' | 'producerId' | 'epoch' | 'baseSequence' | 'acks'
  > & { readonly timestampMs: number },
): SentBatch {
  const count = recordCount(random, plan.large)
  const valueBytes = count > 50 ? 8 : random.logRange(8, 400)
  const records = Array.from({ length: count }, (_, index) => {
    const key = plan.keyCount > 0 ? Buffer.from(`key-${random.int(plan.keyCount)}`) : null
    const isTombstone = plan.tombstones && key !== null && random.chance(0.1)
    const value = Buffer.alloc(valueBytes, `${from.producer}:${from.number}:${index};`)
    return { key, value: isTombstone ? null : value }
  })
  const bytes = encodeBatch({
    records,
    codec: plan.compressed && random.chance(0.3) ? random.pick(codecs) : 'none',
    producerId: from.producerId,
    producerEpoch: from.epoch,
    baseSequence: from.baseSequence,
    timestampMs: from.timestampMs,
  })
  const { timestampMs: _, ...rest } = from
  return {
    ...rest,
    records,
    bytes,
    attempts: 0,
    ackedAt: -1,
    isAckFirm: false,
    isLostRightly: false,
    isRejected: false,
  }
}

function recordCount(random: Random, large: boolean): number {
  if (random.chance(0.75)) return random.range(1, 4)
  if (!large || random.chance(0.8)) return random.range(5, 30)
  return random.range(31, 500)
}
