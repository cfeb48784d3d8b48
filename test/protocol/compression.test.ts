/** The codecs in every shape clients send, and bombs: nothing may expand beyond the limit it was given. */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { compressFrameSync } from 'lz4-napi'
import { compressSync } from 'snappy'
import { describe, expect, test } from 'vitest'
import { ProtocolError } from '../../src/protocol/bytes.ts'
import { codecNames, codecNumber, compress, decompress } from '../../src/protocol/compression.ts'

const lines = Buffer.from(
  Array.from({ length: 5000 }, (_, i) => `{"line":${i},"text":"${'ab'.repeat(i % 30)}"}\n`).join(
    '',
  ),
)
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const xerialHeader = Buffer.concat([Buffer.from('82534e4150505900', 'hex'), int32(1), int32(1)])
const half = lines.length / 2

test('codec numbers are those of the attributes', () => {
  expect(codecNames.map(codecNumber)).toEqual([0, 1, 2, 3, 4])
})

describe.each(codecNames)('%s', codec => {
  test('gives back what went in, from shared memory too', () => {
    const limit = lines.length
    for (const plain of [Buffer.alloc(0), Buffer.from('x'), lines]) {
      const shared = Buffer.from(new SharedArrayBuffer(plain.length))
      shared.set(plain)
      const packed = compress(codec, shared)
      expect(decompress(codec, packed, limit).equals(plain)).toBe(true)
      const sharedPacked = Buffer.from(new SharedArrayBuffer(packed.length))
      sharedPacked.set(packed)
      expect(decompress(codec, sharedPacked, limit).equals(plain)).toBe(true)
    }
  })

  test('refuses to expand one byte beyond the limit', () => {
    const packed = compress(codec, lines)
    expect(decompress(codec, packed, lines.length).length).toBe(lines.length)
    expect(() => decompress(codec, packed, lines.length - 1)).toThrow(ProtocolError)
  })

  test('refuses a bomb', () => {
    const bomb = compress(codec, Buffer.alloc(64 * 1024 * 1024))
    expect(() => decompress(codec, bomb, 1024 * 1024)).toThrow(ProtocolError)
  })
})

test.each(codecNames.slice(1))('%s: garbage and what is cut short are refused', codec => {
  const packed = compress(codec, lines)
  expect(() => decompress(codec, Buffer.from('no such stream'), 1000)).toThrow(ProtocolError)
  for (const size of [packed.length - 1, packed.length >> 1, 20, 3]) {
    const cut = packed.subarray(0, size)
    expect(() => decompress(codec, cut, lines.length), `${size}`).toThrow(ProtocolError)
  }
})

test.each([
  ['a raw snappy block', 'snappy', compressSync(lines)],
  [
    'snappy in two xerial streams',
    'snappy',
    Buffer.concat(
      [lines.subarray(0, half), lines.subarray(half)].flatMap(part => {
        const block = compressSync(part)
        return [xerialHeader, int32(block.length), block]
      }),
    ),
  ],
  [
    'an lz4 frame with checksums',
    'lz4',
    compressFrameSync(lines, { contentChecksum: true, blockChecksums: true }),
  ],
  [
    'two lz4 frames and a skippable one',
    'lz4',
    Buffer.concat([
      compressFrameSync(lines.subarray(0, half)),
      Buffer.from('502a4d180300000001020304', 'hex').subarray(0, 11),
      compressFrameSync(lines.subarray(half)),
    ]),
  ],
  [
    'two gzip members',
    'gzip',
    Buffer.concat([gzipSync(lines.subarray(0, half)), gzipSync(lines.subarray(half))]),
  ],
  [
    'two zstd frames',
    'zstd',
    Buffer.concat([
      zstdCompressSync(lines.subarray(0, half)),
      zstdCompressSync(lines.subarray(half)),
    ]),
  ],
] as const)('reads %s', (_, codec, packed) => {
  expect(decompress(codec, packed, lines.length).equals(lines)).toBe(true)
  expect(() => decompress(codec, packed, lines.length - 1)).toThrow(ProtocolError)
})

test.each([
  ['a snappy length of 2^32', 'snappy', Buffer.from('808080801000', 'hex')],
  ['a snappy length far beyond its block', 'snappy', Buffer.from('808080010061', 'hex')],
  ['a negative xerial block', 'snappy', Buffer.concat([xerialHeader, int32(-1)])],
  [
    'a xerial block beyond the end',
    'snappy',
    Buffer.concat([xerialHeader, int32(100), lines.subarray(0, 50)]),
  ],
  ['an lz4 block beyond the end', 'lz4', Buffer.from('04224d186040820000ffff7f', 'hex')],
  [
    'an lz4 content size of 2^60',
    'lz4',
    Buffer.from('04224d18684000000000000000108200000000', 'hex'),
  ],
  [
    'ten thousand empty zstd frames',
    'zstd',
    Buffer.alloc(90_000).fill(zstdCompressSync(Buffer.alloc(0))),
  ],
  [
    'ten thousand empty lz4 frames',
    'lz4',
    Buffer.alloc(110_000).fill(compressFrameSync(Buffer.alloc(0))),
  ],
  ['no zstd frame at all', 'zstd', Buffer.alloc(0)],
  ['no lz4 frame at all', 'lz4', Buffer.alloc(0)],
] as const)('refuses %s', (_, codec, packed) => {
  expect(() => decompress(codec, packed, 16 * 1024 * 1024)).toThrow(ProtocolError)
})
