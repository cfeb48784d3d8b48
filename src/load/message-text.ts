/** What load generators send: printable text that compresses badly and is safe within a JSON string. Pure. */

/** 64 characters, so that one costs a mask: none that JSON escapes, no line feed. */
const alphabet = Buffer.from(
  'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_',
  'latin1',
)

/** `byteCount` bytes that repeat for the same seed and differ between seeds (xorshift32). */
export function messageBytes(byteCount: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(byteCount)
  let state = (seed + 1) * 0x9e3779b1
  for (let at = 0; at < byteCount; at++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[at] = alphabet[(state >>> 8) & 63]!
  }
  return bytes
}

/** The same as a JSON string: its quotes are two of the `byteCount` bytes (at least 2). */
export function jsonMessageBytes(byteCount: number, seed: number): Buffer {
  const bytes = messageBytes(byteCount, seed)
  bytes[0] = 0x22
  bytes[byteCount - 1] = 0x22
  return bytes
}
