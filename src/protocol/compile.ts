/**
 * Turns a schema into straight-line readers and writers, one per (API, side, version), the first time each is used.
 * Any thread. The generated text has no version tests and no loops over fields; names in it come from our schemas only,
 * never from clients.
 *
 *   function Produce_request_v9(r) {
 *     const f_transactionalId = r.compactNullableString()
 *     ...
 *     return { transactionalId: f_transactionalId, ... }     the same keys in the same order for every version
 */
import assert from 'node:assert/strict'
import { compileFunction } from 'node:vm'
import type { Reader } from './reader.ts'
import type { ApiSchema, Field, Fields, WireType } from './schema.ts'
import type { Writer } from './writer.ts'

export interface Codec<T> {
  /** Reads one message. Throws ProtocolError on anything malformed; bytes behind the message are left alone. */
  read(r: Reader): T
  write(w: Writer, message: T): void
}
export interface ApiCodec<Request, Response> {
  readonly request: Codec<Request>
  readonly response: Codec<Response>
}
export type Side = 'request' | 'response'

const cache = new Map<ApiSchema<never, never>, ApiCodec<never, never>[]>()

/** The codecs of one version. Cheap to ask for; the functions are compiled at their first use. */
export function codec<Request, Response>(
  api: ApiSchema<Request, Response>,
  version: number,
): ApiCodec<Request, Response> {
  const known = cache.get(api)?.[version]
  if (known !== undefined) return known as ApiCodec<Request, Response>
  assert(version >= api.versions[0] && version <= api.versions[1], `${api.name} v${version}`)
  const made = { request: lazy(api, 'request', version), response: lazy(api, 'response', version) }
  const versions = cache.get(api) ?? []
  versions[version] = made
  cache.set(api, versions)
  return made as ApiCodec<Request, Response>
}

function lazy(api: ApiSchema<never, never>, side: Side, version: number): Codec<never> {
  const id = idOf(api, side, version)
  const self: Codec<never> = {
    read(r) {
      const source = readerSource(api, side, version)
      self.read = evaluate(source, `kafka:read_${id}`) as Codec<never>['read']
      return self.read(r)
    },
    write(w, message) {
      const source = writerSource(api, side, version)
      self.write = evaluate(source, `kafka:write_${id}`) as Codec<never>['write']
      self.write(w, message)
    },
  }
  return self
}

/** As `new Function`, with a file name for stack traces and profiles. */
function evaluate(source: string, filename: string): unknown {
  return (compileFunction(source, [], { filename }) as () => unknown)()
}

/** Of one generated text: the functions so far and what decides their form. */
interface Unit {
  readonly flexible: boolean
  readonly version: number
  readonly isRequest: boolean
  readonly functions: string[]
}

function unit(api: ApiSchema<never, never>, side: Side, version: number): Unit {
  const flexible = version >= api.flexible
  return { flexible, version, isRequest: side === 'request', functions: [] }
}

function finish({ functions }: Unit, entry: string): string {
  return `'use strict'\n${functions.join('\n')}\nreturn ${entry}\n`
}

function idOf(api: ApiSchema<never, never>, side: Side, version: number): string {
  return `${api.name}_${side}_v${version}`
}

/** Text of a function body that returns the reader. Exported for tests and the curious. */
function readerSource(api: ApiSchema<never, never>, side: Side, version: number): string {
  const made = unit(api, side, version)
  return finish(made, structReader(made, api[side], idOf(api, side, version), 0))
}

function writerSource(api: ApiSchema<never, never>, side: Side, version: number): string {
  const made = unit(api, side, version)
  return finish(made, structWriter(made, api[side], idOf(api, side, version)))
}

const sizedTypes: ReadonlySet<WireType> = new Set(['string', 'bytes', 'records', 'array'])

/** `string` -> `compactNullableString`; the Reader's `bytes` is its source, so the field's method is `bytesField`. */
function method({ flexible, version }: Unit, field: Field<unknown>): string {
  if (!sizedTypes.has(field.type)) return field.type
  const prefix = `${flexible ? 'compact' : ''}${isNullable(version, field) ? 'Nullable' : ''}`
  if (prefix === '') return field.type === 'bytes' ? 'bytesField' : field.type
  return lowerFirst(prefix + upperFirst(field.type))
}

function isNullable(version: number, field: Field<unknown>): boolean {
  return version >= field.nullableFrom
}

function isPresent({ version, flexible }: Unit, field: Field<unknown>): boolean {
  return version >= field.from && version <= field.to && (field.tag < 0 || flexible)
}

function entries(fields: Fields): [name: string, field: Field<unknown>][] {
  return Object.entries(fields)
}

/** Tagged fields present in this version, by tag. */
function taggedOf(made: Unit, fields: Fields): [name: string, field: Field<unknown>][] {
  return entries(fields)
    .filter(([, field]) => field.tag >= 0 && isPresent(made, field))
    .sort(([, a], [, b]) => a.tag - b.tag)
}

function literal(field: Field<unknown>): string {
  if (field.absent instanceof Uint8Array) return 'new Uint8Array(0)'
  return JSON.stringify(field.absent)
}

/** Emits the reader of a struct and returns its name. */
function structReader(made: Unit, fields: Fields, name: string, level: number): string {
  const lines: string[] = []
  const known = taggedOf(made, fields)
  for (const [key, field] of entries(fields)) {
    const isHere = isPresent(made, field) && field.tag < 0
    const declare = field.tag >= 0 && known.length > 0 ? 'let' : 'const'
    const value = isHere ? valueReader(made, field, `${name}_${key}`, level) : literal(field)
    lines.push(`  ${declare} f_${key} = ${value}`)
  }
  if (known.length > 0) lines.push(tagReader(made, known, name, level))
  else if (made.flexible) lines.push('  r.skipTags()')
  const shape = Object.keys(fields).map(key => `${key}: f_${key}`)
  lines.push(`  return { ${shape.join(', ')} }`)
  made.functions.push(`function ${name}(r) {\n${lines.join('\n')}\n}`)
  return name
}

/** An expression that reads one value. */
function valueReader(made: Unit, field: Field<unknown>, name: string, level: number): string {
  if (field.type === 'array') return `${arrayReader(made, field, name, level)}(r)`
  if (field.type === 'struct') return `${structReader(made, field.fields!, name, level)}(r)`
  return `r.${method(made, field)}()`
}

/** The first element makes the array, so that one of one element is one allocation of its exact size. */
function arrayReader(made: Unit, field: Field<unknown>, name: string, level: number): string {
  const element = field.element!
  const item = valueReader(made, element, `${name}_item`, level + 1)
  const count = `r.${method(made, field)}(${bytesMin(made, element)})`
  const nullCheck = isNullable(made.version, field) ? '  if (count < 0) return null\n' : ''
  // Only requests have budgets: what a client asked for itself may be as long as its frame.
  const charge = made.isRequest ? `  r.take(count, ${level})\n` : ''
  made.functions.push(
    `function ${name}(r) {\n  const count = ${count}\n${nullCheck}${charge}` +
      `  if (count === 0) return []\n  const items = [${item}]\n` +
      `  for (let i = 1; i < count; i++) items.push(${item})\n  return items\n}`,
  )
  return name
}

const fixedBytes: { readonly [type in WireType]?: number } = {
  bool: 1,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uuid: 16,
}

/** The fewest bytes a value can take: bounds array lengths before anything is allocated. */
function bytesMin(made: Unit, field: Field<unknown>): number {
  if (field.type === 'struct') {
    let sum = made.flexible ? 1 : 0
    for (const [, inner] of entries(field.fields!)) {
      if (isPresent(made, inner) && inner.tag < 0) sum += bytesMin(made, inner)
    }
    assert(sum > 0, 'an element of no bytes would make arrays unbounded')
    return sum
  }
  const fixed = fixedBytes[field.type]
  if (fixed !== undefined) return fixed
  if (made.flexible) return 1
  return field.type === 'string' ? 2 : 4
}

function tagReader(
  made: Unit,
  known: [name: string, field: Field<unknown>][],
  name: string,
  level: number,
): string {
  const cases = known.map(([key, field]) => {
    const value = valueReader(made, field, `${name}_${key}`, level)
    return `      case ${field.tag}: f_${key} = ${value}; break\n`
  })
  // The byte limit is for what clients send; a broker's answer may name many brokers in a tag.
  const start = made.isRequest ? 'start' : 'Infinity'
  return (
    `  const start = r.pos\n  for (let left = r.tagCount(), last = -1; left > 0; left--) {\n` +
    `    last = r.tag(last)\n    const end = r.tagEnd(${start})\n    switch (last) {\n` +
    `${cases.join('')}      default: r.pos = end\n    }\n    r.endTag(end)\n  }`
  )
}

function structWriter(made: Unit, fields: Fields, name: string): string {
  const lines: string[] = []
  for (const [key, field] of entries(fields)) {
    if (!isPresent(made, field) || field.tag >= 0) continue
    lines.push(`  ${valueWriter(made, field, `m.${key}`, `${name}_${key}`)}`)
  }
  const known = taggedOf(made, fields)
  if (known.length > 0) lines.push(tagWriter(made, known, name))
  else if (made.flexible) lines.push('  w.uvarint(0)')
  made.functions.push(`function ${name}(w, m) {\n${lines.join('\n')}\n}`)
  return name
}

function valueWriter(made: Unit, field: Field<unknown>, value: string, name: string): string {
  if (field.type === 'array') return `${arrayWriter(made, field, name)}(w, ${value})`
  if (field.type === 'struct') return `${structWriter(made, field.fields!, name)}(w, ${value})`
  return `w.${method(made, field)}(${value})`
}

function arrayWriter(made: Unit, field: Field<unknown>, name: string): string {
  const count = made.flexible ? 'compactArray' : 'array'
  const item = valueWriter(made, field.element!, 'items[i]', `${name}_item`)
  const nullCheck = isNullable(made.version, field)
    ? `  if (items === null) return w.${count}(-1)\n`
    : ''
  made.functions.push(
    `function ${name}(w, items) {\n${nullCheck}  w.${count}(items.length)\n` +
      `  for (let i = 0; i < items.length; i++) ${item}\n}`,
  )
  return name
}

/** Fields that have their default are not sent. */
function tagWriter(
  made: Unit,
  known: [name: string, field: Field<unknown>][],
  name: string,
): string {
  const tests = known.map(([key, field]) => {
    if (field.type === 'array' && field.absent !== null) return `m.${key}.length > 0`
    return `m.${key} !== ${literal(field)}`
  })
  const count = tests.map(test => `(${test} ? 1 : 0)`).join(' + ')
  const writes = known.map(([key, field], i) => {
    const write = valueWriter(made, field, `m.${key}`, `${name}_${key}`)
    return `  if (${tests[i]}) { const mark = w.beginTag(${field.tag}); ${write}; w.endTag(mark) }`
  })
  return `  w.uvarint(${count})\n${writes.join('\n')}`
}

function upperFirst(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
