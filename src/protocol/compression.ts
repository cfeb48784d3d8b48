/**
 * The five codecs of record batches. Any thread but the dispatcher for bytes from outside: decompression is bounded in
 * size, not in time. Native codecs are loaded at their first use. Every decompress caps its output before it allocates.
 *
 *   snappy comes in two shapes (PROTOCOL.md 3.2.6): one raw block, or xerial's stream
 *     | 82 'SNAPPY' 00 | version i32 | compatible i32 | { block length i32 | raw block } ... |
 *   lz4: frames, see lz4-frames.ts
 */
import { createRequire } from 'node:module'
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { checkedLz4Frames, framesMax } from './lz4-frames.ts'
import { ProtocolError } from './reader.ts'

/** Index = the codec bits of a batch's attributes. */
export const codecNames = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
export type CodecName = (typeof codecNames)[number]

export function codecNumber(codec: CodecName): number {
  return codecNames.indexOf(codec)
}

const load = createRequire(import.meta.url)
let snappyModule: typeof import('snappy') | null = null
let lz4Module: typeof import('lz4-napi') | null = null

function snappy(): typeof import('snappy') {
  snappyModule ??= load('snappy') as typeof import('snappy')
  return snappyModule
}
function lz4(): typeof import('lz4-napi') {
  lz4Module ??= load('lz4-napi') as typeof import('lz4-napi')
  return lz4Module
}

/** What a producer would send: snappy as xerial's stream, which every client reads. */
export function compress(codec: CodecName, bytes: Uint8Array): Buffer {
  switch (codec) {
    case 'none':
      return asBuffer(bytes)
    case 'gzip':
      return gzipSync(bytes)
    case 'snappy':
      return xerialCompress(bytes)
    case 'lz4':
      return lz4().compressFrameSync(asBuffer(bytes))
    case 'zstd':
      return zstdCompressSync(bytes)
  }
}

/** Throws ProtocolError when the bytes are malformed or would take more than `maxBytes`. */
export function decompress(codec: CodecName, bytes: Uint8Array, maxBytes: number): Buffer {
  try {
    return decompressUnchecked(codec, bytes, maxBytes)
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw new ProtocolError(`${codec}: ${(error as Error).message}`, { cause: error })
  }
}

function decompressUnchecked(codec: CodecName, bytes: Uint8Array, maxBytes: number): Buffer {
  switch (codec) {
    case 'none':
      if (bytes.length > maxBytes) throw new ProtocolError('larger than allowed')
      return asBuffer(bytes)
    case 'gzip':
      return gunzipSync(bytes, { maxOutputLength: maxBytes })
    case 'snappy':
      return isXerial(bytes) ? xerialDecompress(bytes, maxBytes) : rawSnappy(bytes, maxBytes)
    case 'lz4':
      return lz4Decompress(bytes, maxBytes)
    case 'zstd':
      return zstdDecompress(bytes, maxBytes)
  }
}

/** Frames may stand one behind another; zlib decodes one and says how far it came. */
function zstdDecompress(bytes: Uint8Array, maxBytes: number): Buffer {
  const pieces: Buffer[] = []
  let left = maxBytes
  for (let pos = 0; pos < bytes.length || pieces.length === 0; ) {
    // Asked for nothing, zlib objects: one byte too many is refused below.
    const maxOutputLength = Math.max(left, 1)
    const frame = bytes.subarray(pos)
    // With `info` zlib returns the consumed bytes beside the buffer; its types do not say so.
    const made: unknown = zstdDecompressSync(frame, { info: true, maxOutputLength })
    const { buffer, engine } = made as { buffer: Buffer; engine: { bytesWritten: number } }
    left -= buffer.length
    if (left < 0) throw new ProtocolError('larger than allowed')
    if (engine.bytesWritten <= 0 || pieces.length === framesMax)
      throw new ProtocolError('zstd frame')
    pieces.push(buffer)
    pos += engine.bytesWritten
  }
  return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** lz4-napi decodes the first frame only, so frames go in one by one. */
function lz4Decompress(bytes: Uint8Array, maxBytes: number): Buffer {
  const parts = checkedLz4Frames(bytes, maxBytes).map(frame =>
    lz4().decompressFrameSync(asBuffer(frame)),
  )
  return parts.length === 1 ? parts[0] : Buffer.concat(parts)
}

const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const xerialHeaderBytes = 16
const xerialBlockBytes = 32 * 1024

function isXerial(bytes: Uint8Array): boolean {
  return bytes.length >= xerialHeaderBytes && xerialMagic.equals(bytes.subarray(0, 8))
}

function xerialCompress(bytes: Uint8Array): Buffer {
  const header = Buffer.alloc(xerialHeaderBytes)
  xerialMagic.copy(header)
  header.writeInt32BE(1, 8)
  header.writeInt32BE(1, 12)
  const pieces: Buffer[] = [header]
  for (let pos = 0; pos < bytes.length; pos += xerialBlockBytes) {
    const block = snappy().compressSync(bytes.subarray(pos, pos + xerialBlockBytes))
    const size = Buffer.alloc(4)
    size.writeInt32BE(block.length)
    pieces.push(size, block)
  }
  return Buffer.concat(pieces)
}

function xerialDecompress(bytes: Uint8Array, maxBytes: number): Buffer {
  const source = asBuffer(bytes)
  const pieces: Buffer[] = []
  let left = maxBytes
  for (let pos = xerialHeaderBytes; pos < source.length; ) {
    // Streams may be written one behind another: another header stands where a block would begin.
    if (isXerial(source.subarray(pos))) {
      pos += xerialHeaderBytes
      continue
    }
    const size = pos + 4 <= source.length ? source.readInt32BE(pos) : -1
    if (size < 0 || size > source.length - pos - 4) throw new ProtocolError('snappy block length')
    const piece = rawSnappy(source.subarray(pos + 4, pos + 4 + size), left)
    left -= piece.length
    pieces.push(piece)
    pos += 4 + size
  }
  return Buffer.concat(pieces)
}

/** A raw block begins with its plain size as a varint: the native code allocates that much, so it is checked first. */
function rawSnappy(bytes: Uint8Array, maxBytes: number): Buffer {
  let plainBytes = 0
  for (let i = 0; ; i++) {
    if (i === 5 || i >= bytes.length) throw new ProtocolError('snappy length')
    plainBytes += (bytes[i] & 0x7f) * 2 ** (7 * i)
    if (bytes[i] < 0x80) break
  }
  if (plainBytes > maxBytes) throw new ProtocolError('snappy: larger than allowed')
  // Three bytes make at most 64: a length far beyond that is a lie.
  if (plainBytes > bytes.length * 64)
    throw new ProtocolError('snappy length does not fit its block')
  return snappy().uncompressSync(bytes) as Buffer
}
