/**
 * Changes the values of a request and leaves its encoding right: integers at their edges, odd texts, nulls, rows that
 * come twice or a thousand times. Pure, seeded.
 */
import { zeroUuid } from '../../src/protocol/bytes.ts'
import type { Field, Fields } from '../../src/protocol/schema.ts'
import type { Random } from '../torture/random.ts'
import { badBatch } from './batches.ts'
import { oddBytes, oddNumber, oddText } from './odd-values.ts'
import type { AnySchema, Struct } from './valid.ts'
import type { World } from './world.ts'

/** A place in a message whose value can be replaced. */
interface Site {
  readonly field: Field<unknown>
  readonly value: unknown
  set(value: unknown): void
}
const fewRows = [5, 5, 6, 17, 100]
/** On both sides of what one request may name. */
const manyRows = [1000, 9_999, 10_001, 20_000]
const ownRowsMax = 4
/** No request is made larger than this by repeating its rows. */
const repeatedBytesMax = 400_000

/** `message` itself is changed. */
export function mutateValues(
  message: Struct,
  api: AnySchema,
  version: number,
  random: Random,
  world: World,
): void {
  for (let left = random.pick([1, 1, 1, 2, 3]); left > 0; left--) {
    const sites = sitesOf(message, api.request, version)
    if (sites.length === 0) return
    const site = random.pick(sites)
    site.set(oddValue(site, version, random, world))
  }
}

function sitesOf(struct: Struct, fields: Fields, version: number): Site[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    if (version < field.from || version > field.to) return []
    const set = (value: unknown) => {
      struct[name] = value
    }
    return sitesBelow({ field, value: struct[name], set }, version)
  })
}

function sitesBelow(site: Site, version: number): Site[] {
  const { field, value } = site
  if (field.type === 'struct') {
    return value === null ? [] : sitesOf(value as Struct, field.fields as Fields, version)
  }
  if (field.type !== 'array' || value === null) return [site]
  const items = value as unknown[]
  // Rows that were repeated are one object: a change of it would be multiplied.
  const own = items.length <= ownRowsMax ? items : []
  const inner = own.map((item, index) => ({
    field: field.element as Field<unknown>,
    value: item,
    set: (changed: unknown) => {
      items[index] = changed
    },
  }))
  return [site, ...inner.flatMap(one => sitesBelow(one, version))]
}

function oddValue(site: Site, version: number, random: Random, world: World): unknown {
  const { field, value } = site
  if (version >= field.nullableFrom && random.chance(0.2)) return null
  switch (field.type) {
    case 'bool':
      return value !== true
    case 'int8':
      return oddNumber(random, 8)
    case 'int16':
      return oddNumber(random, 16)
    case 'int32':
      return oddNumber(random, 32)
    case 'int64':
      return oddNumber(random, 64)
    case 'uuid':
      return random.pick([zeroUuid, ...world.topicIds, 'AAAAAAAAAAAAAAAAAAAAAQ', '_'.repeat(22)])
    case 'string':
      return random.chance(0.3) ? random.pick([...world.topics, ...world.groups]) : oddText(random)
    case 'bytes':
      return oddBytes(random)
    case 'records':
      return random.chance(0.7) ? badBatch(random, world) : oddBytes(random)
    case 'array':
      return oddRows((value ?? []) as unknown[], random)
    default:
      throw new Error(`no site is a ${field.type}`)
  }
}

function oddRows(rows: readonly unknown[], random: Random): unknown[] {
  const [first] = rows
  if (first === undefined || random.chance(0.15)) return []
  if (random.chance(0.4)) return [...rows, structuredClone(first)]
  const copies = random.chance(0.9) ? random.pick(fewRows) : random.pick(manyRows)
  const fitting = Math.min(copies, Math.floor(repeatedBytesMax / bytesIn(first)))
  return Array.from({ length: fitting }, () => first)
}

function bytesIn(value: unknown): number {
  if (value instanceof Uint8Array) return 8 + value.length
  if (typeof value === 'string') return 8 + value.length * 3
  if (value === null || typeof value !== 'object') return 8
  return Object.values(value).reduce<number>((sum, inner) => sum + bytesIn(inner), 8)
}
