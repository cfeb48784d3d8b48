/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of record batches. Any thread; accepts shared memory.
 * Native code wins from about 256 bytes on; below, and where no prebuilt binary fits the machine, a table in
 * JavaScript.
 */
import { createRequire } from 'node:module'
import table from 'crc-32/crc32c.js'

type Crc = (bytes: Uint8Array, init: number) => number

const nativeBytesMin = 256
const native = loadNative()

function loadNative(): Crc {
  try {
    const loaded = createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Crc }
    return loaded.crc32c
  } catch {
    return inTable
  }
}

function inTable(bytes: Uint8Array, init: number): number {
  return table.buf(bytes, init) >>> 0
}

/** Unsigned. `init` is the CRC of the bytes before these: `crc32c(b, crc32c(a))` is that of `a` and `b` together. */
export function crc32c(bytes: Uint8Array, init = 0): number {
  return bytes.length < nativeBytesMin ? inTable(bytes, init) : native(bytes, init)
}
