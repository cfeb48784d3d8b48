/**
 * Kafka's own message definitions (JSON), an encoder driven by them, and the golden bytes made with it. It shares no
 * code with src/protocol and is written for plainness, so that both being wrong in the same way is unlikely. Tests
 * only.
 *
 * The definitions are not part of this repository. Where they are at hand,
 *   node test/support/kafka-json.ts DIRECTORY      (which holds messages-3.9/ProduceRequest.json and so on)
 * writes test/fixtures/golden/*.jsonl anew; test/protocol/kafka-json.test.ts checks that they are up to date.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export type Side = 'request' | 'response'
export type Variant = 'full' | 'empty'
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json }

export interface JsonField {
  name: string
  type: string
  versions: string
  nullableVersions?: string
  taggedVersions?: string
  tag?: number
  default?: string | number | boolean
  fields?: JsonField[]
}
export interface JsonMessage {
  apiKey: number
  name: string
  validVersions: string
  flexibleVersions: string
  fields: JsonField[]
  commonStructs?: JsonField[]
}

/** API name -> versions odradek serves; Kafka 3.9 still has all of them. */
const servedVersions = new Map<string, readonly [min: number, max: number]>([
  ['AlterConfigs', [0, 2]],
  ['ApiVersions', [0, 4]],
  ['CreateAcls', [0, 3]],
  ['CreatePartitions', [0, 3]],
  ['CreateTopics', [0, 7]],
  ['DeleteAcls', [0, 3]],
  ['DeleteGroups', [0, 2]],
  ['DeleteRecords', [0, 2]],
  ['DeleteTopics', [0, 6]],
  ['DescribeAcls', [0, 3]],
  ['DescribeCluster', [0, 1]],
  ['DescribeConfigs', [0, 4]],
  ['DescribeGroups', [0, 5]],
  ['DescribeLogDirs', [0, 4]],
  ['Fetch', [4, 17]],
  ['FindCoordinator', [0, 6]],
  ['Heartbeat', [0, 4]],
  ['IncrementalAlterConfigs', [0, 1]],
  ['InitProducerId', [0, 5]],
  ['JoinGroup', [0, 9]],
  ['LeaveGroup', [0, 5]],
  ['ListGroups', [0, 5]],
  ['ListOffsets', [0, 9]],
  ['Metadata', [0, 12]],
  ['OffsetCommit', [0, 9]],
  ['OffsetDelete', [0, 0]],
  ['OffsetFetch', [0, 9]],
  ['OffsetForLeaderEpoch', [2, 4]],
  ['Produce', [3, 11]],
  ['SyncGroup', [0, 5]],
])

/** One golden message: `value` indexes `GoldenFile.values`. */
export interface GoldenCase {
  side: Side
  version: number
  variant: Variant
  value: number
  hex: string
}
/** Byte values stand in `values` as `hex:...`; fields a version lacks hold their default. */
export interface GoldenFile {
  api: string
  key: number
  values: Json[]
  cases: GoldenCase[]
}

export function loadMessage(directory: string, name: string): JsonMessage {
  const text = readFileSync(join(directory, 'messages-3.9', `${name}.json`), 'utf8')
  // Comments stand on their own lines or behind a comma or bracket, never inside a string with `//` before it.
  const bare = text.replace(/^\s*\/\/.*$/gm, '').replace(/([\]},"])\s*\/\/.*$/gm, '$1')
  const message = JSON.parse(bare) as JsonMessage
  for (const field of message.fields) resolveStructs(field, message.commonStructs ?? [])
  return message
}

function resolveStructs(field: JsonField, commonStructs: JsonField[]): void {
  const common = commonStructs.find(({ name }) => name === field.type.replace('[]', ''))
  if (common !== undefined && field.fields === undefined) field.fields = common.fields
  for (const inner of field.fields ?? []) resolveStructs(inner, commonStructs)
}

/** `3+`, `0-3`, `7`, `none` or nothing. */
export function hasVersion(range: string | undefined, version: number): boolean {
  if (range === undefined || range === 'none') return false
  if (range.endsWith('+')) return version >= Number(range.slice(0, -1))
  const [from, to = from] = range.split('-')
  return version >= Number(from) && version <= Number(to)
}

export function camelCase(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1)
}

/** Fields that some served version has. */
export function servedFields(fields: JsonField[], api: string): JsonField[] {
  const [min, max] = servedVersions.get(api)!
  return fields.filter(({ versions }) => {
    for (let version = min; version <= max; version++)
      if (hasVersion(versions, version)) return true
    return false
  })
}

/** What a version without the field reads: Kafka's rule, save that a nullable string or struct is null. */
export function defaultOf(field: JsonField): Json {
  if (field.type.startsWith('[]')) return []
  if (field.fields !== undefined || field.default === 'null') return null
  if (field.type === 'bool') return field.default === true || field.default === 'true'
  if (field.type === 'string') return field.nullableVersions ? null : String(field.default ?? '')
  if (field.type === 'uuid') return 'AAAAAAAAAAAAAAAAAAAAAA'
  if (field.type === 'records' || field.type === 'bytes') return null
  return Number(field.default ?? 0)
}

const texts = ['a', 'orders', 'grüße-日本-🦉', 'x'.repeat(150), '__proto__']

/** Makes values that differ from field to field; one per message. */
class Sampler {
  #count = 0
  readonly api: string
  readonly version: number
  readonly variant: Variant

  constructor(api: string, version: number, variant: Variant) {
    this.api = api
    this.version = version
    this.variant = variant
  }

  struct(fields: JsonField[]): Json {
    const value: { [name: string]: Json } = {}
    for (const field of servedFields(fields, this.api)) {
      // Counted for every version alike, so that versions that differ in nothing else have equal values.
      const sample = this.value(field, field.type)
      const isHere = hasVersion(field.versions, this.version)
      value[camelCase(field.name)] = isHere ? sample : defaultOf(field)
    }
    return value
  }

  value(field: JsonField, type: string): Json {
    const seed = ++this.#count
    if (this.variant === 'empty') {
      if (hasVersion(field.taggedVersions, this.version)) return defaultOf(field)
      if (hasVersion(field.nullableVersions, this.version)) return null
      return emptyValue(type)
    }
    if (type.startsWith('[]')) {
      return [this.value(field, type.slice(2)), this.value(field, type.slice(2))]
    }
    return field.fields === undefined ? scalarSample(type, seed) : this.struct(field.fields)
  }
}

function emptyValue(type: string): Json {
  if (type.startsWith('[]')) return []
  if (type === 'bool') return false
  if (type === 'string') return ''
  if (type === 'bytes' || type === 'records') return 'hex:'
  if (type === 'uuid') return 'AAAAAAAAAAAAAAAAAAAAAA'
  return type === 'int64' ? -1 : 0
}

function scalarSample(type: string, seed: number): Json {
  switch (type) {
    case 'bool':
      return true
    case 'int8':
      return seed % 2 === 0 ? seed : -seed
    case 'int16':
      return seed % 2 === 0 ? 0x7fff - seed : -seed
    case 'int32':
      return seed % 2 === 0 ? 0x7fff_ffff - seed : -seed
    case 'int64':
      return seed % 2 === 0 ? 2 ** 53 - seed : -(2 ** 33) - seed
    case 'string':
      return texts[seed % texts.length]
    case 'uuid':
      return Buffer.alloc(16, seed).toString('base64url')
    case 'records':
    case 'bytes':
      return `hex:${Buffer.alloc(200 + seed, 'batch').toString('hex')}`
    default:
      throw new Error(`type ${type}`)
  }
}

/** Appends one value after another to a plain array of bytes. */
class JsonEncoder {
  readonly bytes: number[] = []
  readonly version: number
  readonly flexible: boolean

  constructor(version: number, flexible: boolean) {
    this.version = version
    this.flexible = flexible
  }

  struct(fields: JsonField[], value: Json): void {
    const struct = value as { [name: string]: Json }
    const present = fields.filter(({ versions }) => hasVersion(versions, this.version))
    const isTagged = (field: JsonField) => hasVersion(field.taggedVersions, this.version)
    for (const field of present) {
      if (!isTagged(field)) this.value(field, field.type, struct[camelCase(field.name)])
    }
    if (!this.flexible) return
    const sent = present
      .filter(isTagged)
      .filter(field => !isDefault(field, struct[camelCase(field.name)]))
      .sort((a, b) => a.tag! - b.tag!)
    this.unsignedVarint(sent.length)
    for (const field of sent) {
      const inner = new JsonEncoder(this.version, this.flexible)
      inner.value(field, field.type, struct[camelCase(field.name)])
      this.unsignedVarint(field.tag!)
      this.unsignedVarint(inner.bytes.length)
      this.bytes.push(...inner.bytes)
    }
  }

  value(field: JsonField, type: string, value: Json): void {
    if (type.startsWith('[]')) {
      const items = value as Json[] | null
      this.length(items === null ? -1 : items.length, 4)
      for (const item of items ?? []) this.value(field, type.slice(2), item)
    } else if (field.fields !== undefined) this.struct(field.fields, value)
    else this.scalar(type, value)
  }

  scalar(type: string, value: Json): void {
    if (type === 'bool') this.integer(value ? 1n : 0n, 1)
    else if (type.startsWith('int'))
      this.integer(BigInt(value as number), Number(type.slice(3)) / 8)
    else if (type === 'uuid') this.bytes.push(...Buffer.from(value as string, 'base64url'))
    else {
      const isText = type === 'string'
      const content =
        value === null
          ? null
          : isText
            ? Buffer.from(value as string)
            : Buffer.from((value as string).slice(4), 'hex')
      this.length(content === null ? -1 : content.length, isText ? 2 : 4)
      this.bytes.push(...(content ?? []))
    }
  }

  length(count: number, sizeBytes: number): void {
    if (this.flexible) this.unsignedVarint(count + 1)
    else this.integer(BigInt(count), sizeBytes)
  }

  integer(value: bigint, sizeBytes: number): void {
    for (let i = sizeBytes - 1; i >= 0; i--) {
      this.bytes.push(Number((value >> BigInt(8 * i)) & 0xffn))
    }
  }

  unsignedVarint(value: number): void {
    let rest = value
    while (rest >= 128) {
      this.bytes.push((rest % 128) + 128)
      rest = Math.floor(rest / 128)
    }
    this.bytes.push(rest)
  }
}

function isDefault(field: JsonField, value: Json): boolean {
  return JSON.stringify(value) === JSON.stringify(defaultOf(field))
}

export function encodeMessage(message: JsonMessage, version: number, value: Json): Buffer {
  const encoder = new JsonEncoder(version, hasVersion(message.flexibleVersions, version))
  encoder.struct(message.fields, value)
  return Buffer.from(encoder.bytes)
}

export function goldenFile(directory: string, api: string): GoldenFile {
  const [min, max] = servedVersions.get(api)!
  const values: string[] = []
  const cases: GoldenCase[] = []
  let key = -1
  for (const side of ['request', 'response'] as const) {
    const message = loadMessage(directory, `${api}${side === 'request' ? 'Request' : 'Response'}`)
    key = message.apiKey
    for (let version = min; version <= max; version++) {
      for (const variant of ['full', 'empty'] as const) {
        const value = new Sampler(api, version, variant).struct(message.fields)
        const text = JSON.stringify(value)
        if (!values.includes(text)) values.push(text)
        const hex = encodeMessage(message, version, value).toString('hex')
        cases.push({ side, version, variant, value: values.indexOf(text), hex })
      }
    }
  }
  return { api, key, values: values.map(text => JSON.parse(text) as Json), cases }
}

/** One line for the API, then one for each value and each case. */
export function goldenText({ api, key, values, cases }: GoldenFile): string {
  const lines = [{ api, key }, ...values.map(value => ({ value })), ...cases]
  return `${lines.map(line => JSON.stringify(line)).join('\n')}\n`
}

const goldenDirectory = join(import.meta.dirname, '../fixtures/golden')

export function goldenPath(api: string): string {
  return join(goldenDirectory, `${api}.jsonl`)
}

/** The committed bytes of one API. */
export function readGolden(api: string): GoldenFile {
  const lines = readFileSync(goldenPath(api), 'utf8').trimEnd().split('\n')
  const [head, ...rest] = lines.map(line => JSON.parse(line) as Record<string, unknown>)
  return {
    api,
    key: head.key as number,
    values: rest.filter(line => !('side' in line)).map(line => line.value as Json),
    cases: rest.filter(line => 'side' in line) as unknown as GoldenCase[],
  }
}

if (process.argv[1] === import.meta.filename) {
  for (const api of servedVersions.keys()) {
    writeFileSync(goldenPath(api), goldenText(goldenFile(process.argv[2], api)))
  }
}
