/** Small helpers to write and compare whole messages in tests. */
import { Reader, Writer } from '../../src/protocol/bytes.ts'
import { codec, type Side } from '../../src/protocol/compile.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'

type AnySchema = ApiSchema<unknown, unknown>

/** The bytes `write` makes, without the size in front. */
export function written(write: (w: Writer) => void): Buffer {
  const w = new Writer()
  w.begin()
  write(w)
  const frame = Buffer.concat(w.end())
  if (frame.readInt32BE(0) !== frame.length - 4) throw new Error('frame size')
  return frame.subarray(4)
}

export function encode(api: AnySchema, side: Side, version: number, message: unknown): Buffer {
  return written(w => codec(api, version)[side].write(w, message))
}

/** Reads one message that must fill `bytes`. */
export function decode(api: AnySchema, side: Side, version: number, bytes: Uint8Array): unknown {
  const r = new Reader(bytes)
  const message = codec(api, version)[side].read(r)
  if (r.pos !== bytes.length) throw new Error(`${r.remaining} bytes left`)
  return message
}

/** Byte values as `hex:...`, so that messages compare and print well. */
export function withHex(value: unknown): unknown {
  if (value instanceof Uint8Array) return `hex:${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return value.map(withHex)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withHex(inner)]))
}

/** The inverse of `withHex`. */
export function withBytes(value: unknown): unknown {
  if (typeof value === 'string' && value.startsWith('hex:'))
    return Buffer.from(value.slice(4), 'hex')
  if (Array.isArray(value)) return value.map(withBytes)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withBytes(inner)]))
}
