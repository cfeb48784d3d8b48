/**
 * The value types of settings, as plain data: broker settings (settings.ts) and topic configs (topic-configs.ts) are
 * tables over them. Everything else is derived: this parser, the zod schema, JSON schema, YAML and documentation.
 *
 * A value arrives as text (environment, --set, flags, CreateTopics) or as a YAML scalar; both end as the same value.
 * No thread of its own, no state.
 */

/** Kafka's ConfigDef.Type as numbered by DescribeConfigs v3+ (KIP-569). */
const ConfigType = {
  BOOLEAN: 1,
  STRING: 2,
  INT: 3,
  LONG: 5,
  DOUBLE: 6,
  LIST: 7,
} as const

export interface IntegerKind {
  readonly type: 'integer'
  readonly min: number
  readonly max: number
  readonly width: 'int' | 'long'
  /** One word that is allowed beside numbers, `auto`. */
  readonly word?: string
}
export interface DoubleKind {
  readonly type: 'double'
  readonly min: number
  readonly max: number
}
export interface BooleanKind {
  readonly type: 'boolean'
}
export interface OneOfKind {
  readonly type: 'one-of'
  readonly values: readonly string[]
}
/** Comma-separated in text. Without `values` any non-empty words. */
export interface ListKind {
  readonly type: 'list'
  readonly values?: readonly string[]
}
export interface TextKind {
  readonly type: 'text'
  readonly pattern: RegExp
  /** What a right value looks like, for messages: `a path`. */
  readonly what: string
}
/** `HOST:PORT`, `[V6]:PORT`, either after an optional `PLAINTEXT://` or `http://`. */
export interface EndpointKind {
  readonly type: 'endpoint'
  readonly scheme: string
  /** True when an empty text is a value and means "none". */
  readonly optional: boolean
}
export type Kind =
  | IntegerKind
  | DoubleKind
  | BooleanKind
  | OneOfKind
  | ListKind
  | TextKind
  | EndpointKind

export interface Endpoint {
  readonly host: string
  readonly port: number
}
export type Value = number | boolean | string | readonly string[] | Endpoint | null
export type Scalar = string | number | boolean | null | readonly (string | number | boolean)[]
export type Parsed = { readonly ok: true; readonly value: Value } | { readonly ok: false }

/** Java's Long.MAX_VALUE: what Kafka's "never" and "unlimited" look like on the wire. */
export const LONG_MAX = 9223372036854775807n
const BAD: Parsed = { ok: false }
const good = (value: Value): Parsed => ({ ok: true, value })

/** Turns a text or YAML scalar into the kind's value; `ok: false` when it is none. Never throws. */
export function parseValue(kind: Kind, raw: unknown): Parsed {
  switch (kind.type) {
    case 'integer':
      return parseInteger(kind, raw)
    case 'double':
      return parseDouble(kind, raw)
    case 'boolean':
      return parseBoolean(raw)
    case 'one-of':
      return typeof raw === 'string' && kind.values.includes(raw.trim()) ? good(raw.trim()) : BAD
    case 'list':
      return parseList(kind, raw)
    case 'text':
      return typeof raw === 'string' && kind.pattern.test(raw) ? good(raw) : BAD
    case 'endpoint':
      return parseEndpoint(kind, raw)
  }
}

function parseInteger(kind: IntegerKind, raw: unknown): Parsed {
  if (kind.word !== undefined && raw === kind.word) return good(kind.word)
  if (typeof raw === 'number') {
    const value = kind.width === 'long' ? clampNever(raw) : raw
    return Number.isInteger(value) && inRange(kind, value) ? good(value) : BAD
  }
  if (typeof raw !== 'string' || !/^\s*[+-]?\d{1,19}\s*$/.test(raw)) return BAD
  const exact = BigInt(raw.trim().replace(/^\+/, ''))
  if (exact > LONG_MAX) return BAD
  const value = clampNever(Number(exact))
  return inRange(kind, value) ? good(value) : BAD
}

/** Beyond 2^53 a setting only ever means "never"; the largest safe integer keeps that and is exact. */
const clampNever = (value: number) =>
  value > Number.MAX_SAFE_INTEGER && value <= Number(LONG_MAX) ? Number.MAX_SAFE_INTEGER : value

const inRange = (kind: IntegerKind | DoubleKind, value: number) =>
  value >= kind.min && value <= kind.max

function parseDouble(kind: DoubleKind, raw: unknown): Parsed {
  const numeric =
    typeof raw === 'string' && /^\s*[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?\s*$/i.test(raw)
  const value = numeric ? Number(raw) : raw
  return typeof value === 'number' && inRange(kind, value) ? good(value) : BAD
}

function parseBoolean(raw: unknown): Parsed {
  if (typeof raw === 'boolean') return good(raw)
  if (typeof raw !== 'string') return BAD
  const word = raw.trim().toLowerCase()
  return word === 'true' ? good(true) : word === 'false' ? good(false) : BAD
}

function parseList(kind: ListKind, raw: unknown): Parsed {
  const items = typeof raw === 'string' ? raw.split(',') : Array.isArray(raw) ? raw : null
  if (items === null || !items.every(item => typeof item === 'string')) return BAD
  const words = items.map(item => item.trim()).filter(item => item !== '')
  const { values } = kind
  if (values !== undefined && (words.length === 0 || !words.every(word => values.includes(word))))
    return BAD
  return good(words)
}

function parseEndpoint(kind: EndpointKind, raw: unknown): Parsed {
  if (raw === null || raw === '') return kind.optional ? good(null) : BAD
  if (typeof raw !== 'string') return BAD
  const prefix = `${kind.scheme}://`
  const text = raw.toLowerCase().startsWith(prefix.toLowerCase()) ? raw.slice(prefix.length) : raw
  const match = ENDPOINT.exec(text)
  if (match === null) return BAD
  const port = Number(match[3])
  return port <= 65535 ? good({ host: match[1] ?? match[2], port }) : BAD
}

/** `[::1]:9092` or `host:9092`. */
export const ENDPOINT = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([a-zA-Z0-9._-]{1,253})):(\d{1,5})$/

/** The text form of a value, as DescribeConfigs and the YAML file show it. */
export function formatValue(kind: Kind, value: Value): string {
  if (value === null) return ''
  if (Array.isArray(value)) return value.join(',')
  if (typeof value === 'object') return formatEndpoint(value as Endpoint)
  if (kind.type === 'integer' && kind.width === 'long' && value === Number.MAX_SAFE_INTEGER)
    return String(LONG_MAX)
  return String(value)
}

/** `HOST:PORT`, an IPv6 host in brackets. */
export function formatEndpoint({ host, port }: Endpoint): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What a right value looks like, for one-line errors: `an integer from 1 to 64 or auto`. */
export function expectation(kind: Kind): string {
  switch (kind.type) {
    case 'integer':
      return integerExpectation(kind)
    case 'double':
      return `a number from ${kind.min} to ${kind.max}`
    case 'boolean':
      return 'true or false'
    case 'one-of':
      return kind.values.join(', ').replace(/, ([^,]*)$/, ' or $1')
    case 'list':
      return kind.values === undefined
        ? 'a comma-separated list'
        : `a comma-separated list of ${kind.values.join(', ')}`
    case 'text':
      return kind.what
    case 'endpoint':
      return `HOST:PORT${kind.optional ? ' or nothing' : ''}`
  }
}

function integerExpectation({ min, max, word, width }: IntegerKind): string {
  const open = max === Number.MAX_SAFE_INTEGER || (width === 'int' && max === 2147483647)
  const range = open ? `an integer of ${min} or more` : `an integer from ${min} to ${max}`
  return word === undefined ? range : `${range}, or ${word}`
}

/** Kafka's type number of a kind, for DescribeConfigs. */
export function configType(kind: Kind): number {
  switch (kind.type) {
    case 'integer':
      return kind.width === 'int' ? ConfigType.INT : ConfigType.LONG
    case 'double':
      return ConfigType.DOUBLE
    case 'boolean':
      return ConfigType.BOOLEAN
    case 'list':
      return ConfigType.LIST
    default:
      return ConfigType.STRING
  }
}

const INT_MAX = 2147483647
export const int = (min: number, max = INT_MAX, word?: string): IntegerKind => ({
  type: 'integer',
  width: 'int',
  min,
  max,
  word,
})
export const long = (min: number, max: number = Number.MAX_SAFE_INTEGER): IntegerKind => ({
  type: 'integer',
  width: 'long',
  min,
  max,
})
export const boolean: BooleanKind = { type: 'boolean' }
export const oneOf = (...values: string[]): OneOfKind => ({ type: 'one-of', values })
export const list = (...values: string[]): ListKind =>
  values.length === 0 ? { type: 'list' } : { type: 'list', values }
