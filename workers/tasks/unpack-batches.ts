/**
 * Task: the batches of one read with their records decompressed, for readers that speak no Kafka. Pool thread; reads
 * only. Batches come from producers and are not trusted: decompressed size is capped, a batch that does not add up ends
 * the walk and is told.
 */
import type { UnpackedBatches, UnpackInput } from '../../src/contracts/unpack-batches.ts'
import { codecNames, decompress } from '../../src/protocol/compression.ts'
import { ProtocolError } from '../../src/protocol/reader.ts'
import {
  attributesAt,
  BATCH_HEADER_BYTES,
  baseTimestampAt,
  codecAt,
  hasDeleteHorizon,
  lastOffsetAt,
  maxTimestampAt,
  recordCountAt,
  withRecords,
} from '../../src/protocol/record-batch.ts'
import { batches } from '../../src/protocol/records.ts'

export default function unpackBatches(input: UnpackInput): UnpackedBatches {
  const blob = Buffer.from(input.memory, input.start, input.length)
  const pieces: Buffer[] = []
  let totalBytes = 0
  let nextOffset = -1
  let bad: UnpackedBatches['bad'] = null
  for (const batch of batches(blob)) {
    const after = lastOffsetAt(batch, 0) + 1
    try {
      const piece = unpack(batch, input.decompressedBytesMax)
      if (pieces.length > 0 && totalBytes + piece.length > input.decompressedBytesMax) break
      pieces.push(piece)
      totalBytes += piece.length
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      bad = { message: error.message, nextOffset: after }
      break
    }
    nextOffset = after
  }
  return { bytes: Buffer.concat(pieces), nextOffset, bad }
}

function unpack(batch: Uint8Array, bytesMax: number): Buffer {
  const codec = codecNames[codecAt(batch, 0)]
  if (codec === undefined) throw new ProtocolError(`codec ${codecAt(batch, 0)} does not exist`)
  if (codec === 'none') return Buffer.from(batch)
  return withRecords(batch, decompress(codec, batch.subarray(BATCH_HEADER_BYTES), bytesMax), {
    recordCount: recordCountAt(batch, 0),
    baseTimestampMs: baseTimestampAt(batch, 0),
    maxTimestampMs: maxTimestampAt(batch, 0),
    hasDeleteHorizon: hasDeleteHorizon(attributesAt(batch, 0)),
    codec: 0,
  })
}
