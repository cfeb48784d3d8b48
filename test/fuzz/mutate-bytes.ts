/**
 * Changes the bytes of an encoded request: cut, extended, inserted, swapped, lengths and counts that lie, tags.
 * Pure, seeded.
 */
import { codec } from '../../src/protocol/compile.ts'
import { Reader } from '../../src/protocol/reader.ts'
import type { Random } from '../torture/random.ts'
import { brokenUtf8, oddBytes, oddInteger } from './odd-values.ts'
import type { AnySchema } from './valid.ts'

/** Where a length or count stands in the bytes of a body, and whether it is a varint. */
interface Length {
  readonly at: number
  readonly bytes: number
  readonly isCompact: boolean
}

/** Notes the place of every length that is read. */
class LengthFinder extends Reader {
  readonly found: Length[] = []

  #note(bytes: number): void {
    this.found.push({ at: this.pos, bytes, isCompact: false })
  }

  #noteCompact(): void {
    let bytes = 1
    while (this.bytes[this.pos + bytes - 1] >= 0x80) bytes++
    this.found.push({ at: this.pos, bytes, isCompact: true })
  }

  override string(): string {
    this.#note(2)
    return super.string()
  }
  override nullableString(): string | null {
    this.#note(2)
    return super.nullableString()
  }
  override compactString(): string {
    this.#noteCompact()
    return super.compactString()
  }
  override compactNullableString(): string | null {
    this.#noteCompact()
    return super.compactNullableString()
  }
  override bytesField(): Buffer {
    this.#note(4)
    return super.bytesField()
  }
  override compactBytes(): Buffer {
    this.#noteCompact()
    return super.compactBytes()
  }
  override nullableBytes(): Buffer | null {
    this.#note(4)
    return super.nullableBytes()
  }
  override compactNullableBytes(): Buffer | null {
    this.#noteCompact()
    return super.compactNullableBytes()
  }
  override array(min: number): number {
    this.#note(4)
    return super.array(min)
  }
  override nullableArray(min: number): number {
    this.#note(4)
    return super.nullableArray(min)
  }
  override compactArray(min: number): number {
    this.#noteCompact()
    return super.compactArray(min)
  }
  override compactNullableArray(min: number): number {
    this.#noteCompact()
    return super.compactNullableArray(min)
  }
  override skipTags(): void {
    this.#noteCompact()
    super.skipTags()
  }
}

/** Lengths of a body, as far as it can be read. */
function lengthsOf(body: Buffer, api: AnySchema, version: number): Length[] {
  const finder = new LengthFinder(body)
  try {
    codec(api, version).request.read(finder)
  } catch {
    // What its own limits refuse has lengths all the same.
  }
  return finder.found.filter(({ at, bytes }) => at + bytes <= body.length)
}

/** A new body. */
export function mutateBytes(body: Buffer, api: AnySchema, version: number, random: Random): Buffer {
  let changed = body
  for (let left = random.pick([1, 1, 1, 2, 3]); left > 0; left--) {
    changed = mutateOnce(changed, api, version, random)
  }
  return changed
}

function mutateOnce(body: Buffer, api: AnySchema, version: number, random: Random): Buffer {
  const at = random.between(0, body.length)
  const end = Math.min(body.length, at + random.between(1, 16))
  switch (random.between(0, 9)) {
    case 0:
      return body.subarray(0, at)
    case 1:
      return Buffer.concat([body, oddBytes(random)])
    case 2:
      return Buffer.concat([body.subarray(0, at), body.subarray(end)])
    case 3:
      return Buffer.concat([body.subarray(0, at), oddBytes(random), body.subarray(at)])
    case 4:
      return swapped(body, random)
    case 5:
      return overwritten(body, at, Buffer.from([random.pick([0, 1, 0x7f, 0x80, 0xff])]))
    case 6:
      return overwritten(body, at, integerBytes(random))
    case 7:
      return random.chance(0.5) ? overwritten(body, at, brokenUtf8(random)) : tagged(body, random)
    default:
      return lying(body, lengthsOf(body, api, version), random)
  }
}

function overwritten(body: Buffer, at: number, bytes: Buffer): Buffer {
  return Buffer.concat([body.subarray(0, at), bytes, body.subarray(at + bytes.length)])
}

function integerBytes(random: Random): Buffer {
  const bytes = Buffer.alloc(8)
  const bits = random.pick([16, 32, 64] as const)
  bytes.writeBigInt64BE(oddInteger(random, bits))
  return bytes.subarray(8 - bits / 8)
}

/** Two stretches change places. */
function swapped(body: Buffer, random: Random): Buffer {
  const cuts = Array.from({ length: 3 }, () => random.between(0, body.length))
  const [a, b, c] = cuts.sort((x, y) => x - y)
  return Buffer.concat([
    body.subarray(0, a),
    body.subarray(b, c),
    body.subarray(a, b),
    body.subarray(c),
  ])
}

/** One length says what is not so. */
function lying(body: Buffer, lengths: readonly Length[], random: Random): Buffer {
  if (lengths.length === 0) return body
  const { at, bytes, isCompact } = random.pick(lengths)
  const rest = body.length - at - bytes
  const lie = random.pick([-2, -1, 0, 1, 2, rest, rest + 1, 0x7fff, 0x8000, 250_001, 2 ** 31 - 1])
  const field = isCompact ? varint(lie + 1, random) : fixed(lie, bytes)
  return Buffer.concat([body.subarray(0, at), field, body.subarray(at + bytes)])
}

function fixed(value: number, bytes: number): Buffer {
  const field = Buffer.alloc(bytes)
  if (bytes === 2) field.writeUInt16BE(value & 0xffff)
  else field.writeInt32BE(value | 0)
  return field
}

/** Sometimes longer than it has to be, or without an end. */
function varint(value: number, random: Random): Buffer {
  const bytes: number[] = []
  let rest = value >>> 0
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
  const last = bytes.length - 1
  if (random.chance(0.1)) bytes.splice(last, 1, bytes[last] | 0x80, 0x80, 0)
  if (random.chance(0.05)) return Buffer.alloc(11, 0xff)
  return Buffer.from(bytes)
}

/** A tag section in place of an empty one: known tags, unknown ones, too many, too large, out of order. */
function tagged(body: Buffer, random: Random): Buffer {
  const zeros = [...body.keys()].filter(at => body[at] === 0)
  const at = random.chance(0.5) || zeros.length === 0 ? body.length - 1 : random.pick(zeros)
  if (at < 0) return body
  return Buffer.concat([body.subarray(0, at), tagSection(random), body.subarray(at + 1)])
}

export function tagSection(random: Random): Buffer {
  const count = random.pick([1, 2, 3, 16, 17, 200])
  const ascending = random.chance(0.8)
  const pieces = [varint(count, random)]
  for (let i = 0; i < count; i++) {
    const tag = ascending ? i * random.pick([1, 1, 7]) : random.between(0, 3)
    const value = Buffer.alloc(random.pick([0, 1, 1, 2, 20, 300]), random.between(0, 3))
    const size = random.chance(0.9) ? value.length : random.pick([0, 1, 5000, 2 ** 31])
    pieces.push(varint(tag, random), varint(size, random), value)
  }
  return Buffer.concat(pieces)
}
