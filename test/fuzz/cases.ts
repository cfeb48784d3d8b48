/**
 * One case is what an attacker writes at once: mostly one frame. Each is made from its own seed, so that it can be made
 * again alone. Pure, seeded.
 *
 *   value    fields have odd values, the encoding is right      bytes   the encoding is damaged
 *   both     one after the other                                valid   nothing is wrong
 *   frame    sizes, headers, versions, several frames at once
 */
import { Writer } from '../../src/protocol/bytes.ts'
import { codec } from '../../src/protocol/compile.ts'
import { Random } from '../torture/random.ts'
import { mutateBytes, tagSection } from './mutate-bytes.ts'
import { mutateValues } from './mutate-values.ts'
import { brokenUtf8, oddInteger, oddText } from './odd-values.ts'
import { type AnySchema, validRequest } from './valid.ts'
import type { World } from './world.ts'

export type Kind = 'valid' | 'value' | 'bytes' | 'both' | 'frame'

export interface Case {
  readonly api: AnySchema
  readonly version: number
  readonly index: number
  readonly kind: Kind
  /** To be written to the socket as they are. */
  readonly bytes: Buffer
}

const kinds: readonly Kind[] = [
  ...Array<Kind>(2).fill('valid'),
  ...Array<Kind>(9).fill('value'),
  ...Array<Kind>(5).fill('bytes'),
  ...Array<Kind>(2).fill('both'),
  ...Array<Kind>(2).fill('frame'),
]

export function makeCase(
  api: AnySchema,
  version: number,
  index: number,
  seed: number,
  world: World,
): Case {
  const random = randomOf(seed, api.key, version, index)
  const kind = random.pick(kinds)
  const body = bodyOf(api, version, kind, random, world)
  const bytes =
    kind === 'frame'
      ? oddFrame(api, version, index, body, random)
      : frameOf(headerOf(api, version, index, 'fuzz'), body)
  return { api, version, index, kind, bytes }
}

/** Neighbouring cases have seeds that are far apart. */
function randomOf(...numbers: readonly number[]): Random {
  let seed = 0x9e3779b9
  for (const number of numbers) {
    seed = Math.imul(seed ^ number, 0x85ebca6b)
    seed = Math.imul(seed ^ (seed >>> 13), 0xc2b2ae35)
    seed ^= seed >>> 16
  }
  return new Random(seed)
}

function bodyOf(api: AnySchema, version: number, kind: Kind, random: Random, world: World): Buffer {
  const message = validRequest(api, version, random, world)
  if (kind === 'value' || kind === 'both') mutateValues(message, api, version, random, world)
  const writer = new Writer()
  writer.begin()
  codec(api, version).request.write(writer, message)
  const body = Buffer.concat(writer.end()).subarray(4)
  return kind === 'bytes' || kind === 'both' ? mutateBytes(body, api, version, random) : body
}

function headerOf(
  api: AnySchema,
  version: number,
  correlationId: number,
  clientId: Buffer | string | null,
): Buffer {
  const fixed = Buffer.alloc(10)
  fixed.writeInt16BE(api.key, 0)
  fixed.writeInt16BE(version, 2)
  fixed.writeInt32BE(correlationId, 4)
  const id = clientId === null ? Buffer.alloc(0) : Buffer.from(clientId)
  fixed.writeInt16BE(clientId === null ? -1 : id.length, 8)
  return Buffer.concat([fixed, id, Buffer.alloc(version >= api.flexible ? 1 : 0)])
}

function frameOf(header: Buffer, body: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(header.length + body.length)
  return Buffer.concat([size, header, body])
}

function oddFrame(
  api: AnySchema,
  version: number,
  index: number,
  body: Buffer,
  random: Random,
): Buffer {
  const header = headerOf(api, version, index, 'fuzz')
  const frame = frameOf(header, body)
  switch (random.between(0, 8)) {
    case 0:
      frame.writeInt32BE(Number(oddInteger(random, 32)), 0)
      return frame
    case 1:
      frame.writeInt32BE(Math.max(0, frame.length - 4 + random.between(-20, 20)), 0)
      return frame
    case 2:
      header.writeInt16BE(Number(oddInteger(random, 16)), 2)
      return frameOf(header, body)
    case 3:
      header.writeInt16BE(random.pick([-1, 4, 6, 7, 17, 24, 58, 74, 999, 0x7fff]), 0)
      return frameOf(header, body)
    case 4:
      return frameOf(headerOf(api, version, index, random.pick([null, oddText(random)])), body)
    case 5:
      return frameOf(headerOf(api, version, index, brokenUtf8(random)), body)
    case 6: {
      if (version < api.flexible) return Buffer.concat([frame, frame])
      return frameOf(Buffer.concat([header.subarray(0, -1), tagSection(random)]), body)
    }
    case 7:
      return Buffer.concat([frame, frame, frame])
    default:
      return Buffer.concat([frame, frame.subarray(0, random.between(0, frame.length))])
  }
}
