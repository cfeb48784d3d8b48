/**
 * Finds the frames of an lz4 stream and bounds what they expand to, so that the native decoder, which knows no limit,
 * can be let at them. Any thread. Format: lz4_Frame_format.md 1.6.
 *
 *   | magic 04 22 4D 18 | FLG | BD | content size u64? | dictionary id u32? | HC | block ... | 0 u32 | checksum u32? |
 *   block: | size u32, top bit set when stored plain | bytes | checksum u32? |                   all little-endian
 *   FLG: 7-6 version = 01, 5 independent blocks, 4 block checksums, 3 content size, 2 content checksum, 0 dictionary
 *   BD: 6-4 largest block: 4 64 KiB, 5 256 KiB, 6 1 MiB, 7 4 MiB
 */
import { ProtocolError } from './reader.ts'

const frameMagic = 0x184d_2204
/** Of one stream: clients write one, seldom a few; empty ones would cost time without end. */
export const framesMax = 1024
const skippableMagic = 0x184d_2a50

/** The data frames of `bytes`, in order. Throws ProtocolError when malformed or together larger than `maxBytes`. */
export function checkedLz4Frames(bytes: Uint8Array, maxBytes: number): Uint8Array[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const frames: Uint8Array[] = []
  let left = maxBytes
  let pos = 0
  try {
    while (pos < bytes.length) {
      const magic = view.getUint32(pos, true)
      if ((magic & 0xffff_fff0) === skippableMagic) {
        pos += 8 + view.getUint32(pos + 4, true)
        continue
      }
      if (magic !== frameMagic) throw new ProtocolError('lz4 magic')
      const { end, plainBytes } = walkFrame(bytes, view, pos, left)
      left -= plainBytes
      if (frames.length === framesMax) throw new ProtocolError('too many lz4 frames')
      frames.push(bytes.subarray(pos, end))
      pos = end
    }
  } catch (error) {
    if (error instanceof ProtocolError) throw error
    throw new ProtocolError('lz4 frame cut short', { cause: error })
  }
  if (pos !== bytes.length || frames.length === 0) throw new ProtocolError('lz4 frame cut short')
  return frames
}

function walkFrame(
  bytes: Uint8Array,
  view: DataView,
  start: number,
  maxBytes: number,
): { end: number; plainBytes: number } {
  const flags = view.getUint8(start + 4)
  const blockCode = (view.getUint8(start + 5) >>> 4) & 7
  if (flags >>> 6 !== 1 || blockCode < 4) throw new ProtocolError('lz4 frame header')
  if ((flags & 0x01) !== 0) throw new ProtocolError('lz4 dictionary')
  const blockBytesMax = 1 << (8 + 2 * blockCode)
  const hasContentSize = (flags & 0x08) !== 0
  if (hasContentSize && Number(view.getBigUint64(start + 6, true)) > maxBytes) {
    throw new ProtocolError('lz4: larger than allowed')
  }
  let pos = start + 7 + (hasContentSize ? 8 : 0)
  const checksumBytes = (flags & 0x10) !== 0 ? 4 : 0
  let plainBytes = 0
  for (;;) {
    const word = view.getUint32(pos, true)
    pos += 4
    if (word === 0) break
    const size = word & 0x7fff_ffff
    const isPlain = word >>> 31 === 1
    if (size > bytes.length - pos) throw new ProtocolError('lz4 block length')
    plainBytes += isPlain ? size : plainBytesOf(view, pos, pos + size, blockBytesMax)
    if (plainBytes > maxBytes) throw new ProtocolError('lz4: larger than allowed')
    pos += size + checksumBytes
  }
  const end = pos + ((flags & 0x04) !== 0 ? 4 : 0)
  if (end > bytes.length) throw new ProtocolError('lz4 frame cut short')
  return { end, plainBytes }
}

/**
 * Adds up a block's sequences without copying anything: token, literals, 2 bytes of match offset, match of 4 or more;
 * the last sequence has literals only.
 */
function plainBytesOf(view: DataView, start: number, end: number, blockBytesMax: number): number {
  let plainBytes = 0
  let pos = start
  while (pos < end) {
    const token = view.getUint8(pos++)
    let literals = token >>> 4
    if (literals === 15) {
      let byte = 255
      while (byte === 255 && pos < end) literals += byte = view.getUint8(pos++)
    }
    pos += literals
    plainBytes += literals
    if (pos >= end) break
    pos += 2
    let match = token & 15
    if (match === 15) {
      let byte = 255
      while (byte === 255 && pos < end) match += byte = view.getUint8(pos++)
    }
    plainBytes += match + 4
  }
  if (pos !== end || plainBytes > blockBytesMax) throw new ProtocolError('lz4 block')
  return plainBytes
}
