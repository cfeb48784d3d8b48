/** CRC-32C against the vectors of RFC 3720 B.4 and a bit-by-bit model, on both sides of the native threshold. */
import { expect, test } from 'vitest'
import { crc32c } from '../../src/protocol/crc32c.ts'

function naive(bytes: Uint8Array): number {
  let crc = 0xffff_ffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1
  }
  return ~crc >>> 0
}

test.each([
  ['123456789', Buffer.from('123456789'), 0xe306_9283],
  ['32 zeroes', Buffer.alloc(32), 0x8a91_36aa],
  ['32 ones', Buffer.alloc(32, 0xff), 0x62a8_ab43],
  ['ascending', Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd_794e],
  ['descending', Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113f_db5c],
])('vector %s', (_, bytes, crc) => {
  expect(crc32c(bytes)).toBe(crc)
})

test('matches the model at every length, in parts, and over shared memory', () => {
  const shared = Buffer.from(new SharedArrayBuffer(700))
  for (let i = 0; i < shared.length; i++) shared[i] = (i * 131) ^ (i >> 3)
  for (let size = 0; size <= 600; size += 7) {
    const bytes = shared.subarray(size % 9, (size % 9) + size)
    expect(crc32c(bytes)).toBe(naive(bytes))
    const cut = size >> 1
    expect(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut)))).toBe(naive(bytes))
  }
})
