/** Task: a gzip body unpacked, up to a limit. Pool thread. */
import { gunzipSync } from 'node:zlib'
import type { GunzipInput, Gunzipped } from '../../src/contracts/gunzip.ts'

export default function gunzip({ bytes, bytesMax }: GunzipInput): Gunzipped {
  try {
    const plain = gunzipSync(bytes, { maxOutputLength: bytesMax })
    const shared = new Uint8Array(new SharedArrayBuffer(plain.length))
    shared.set(plain)
    return { bytes: shared }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    return { isTooLarge: code === 'ERR_BUFFER_TOO_LARGE', message }
  }
}
