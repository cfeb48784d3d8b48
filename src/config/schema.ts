/**
 * The configuration as a zod schema, derived from settings.ts: for the JSON schema editors use and for whatever wants
 * to check a whole document. The broker's own start does not load it: zod takes about 75 ms of the 300 ms a start may
 * take, and config.ts reads the same table with messages for operators. test/config holds both to the same verdicts.
 */
import { z } from 'zod'
import { ENDPOINT, type IntegerKind, type Kind, LONG_MAX, parseValue } from './kinds.ts'
import { type Setting, settings } from './settings.ts'

/** A YAML document of settings; unknown keys are errors, missing ones get their defaults. */
export function configSchema(): z.ZodType<Record<string, unknown>> {
  const shape = settings.map(setting => [setting.key, settingSchema(setting)] as const)
  return z.strictObject(Object.fromEntries(shape))
}

function settingSchema(setting: Setting): z.ZodType {
  return kindSchema(setting.kind).describe(setting.doc).default(typedDefault(setting))
}

/** The default as YAML would have it: `500`, not `'500'`. */
export function typedDefault({ kind, default: value }: Setting): string | number | boolean {
  const parsed = parseValue(kind, value)
  if (kind.type === 'integer' && parsed.ok && parsed.value === Number.MAX_SAFE_INTEGER)
    return Number(LONG_MAX)
  if (parsed.ok && typeof parsed.value === 'number') return parsed.value
  return parsed.ok && typeof parsed.value === 'boolean' ? parsed.value : String(value)
}

function kindSchema(kind: Kind): z.ZodType {
  switch (kind.type) {
    case 'integer':
      return kind.word === undefined
        ? integerSchema(kind)
        : z.union([integerSchema(kind), z.literal(kind.word)])
    case 'double':
      return z.number().min(kind.min).max(kind.max)
    case 'boolean':
      return z.boolean()
    case 'one-of':
      return z.enum(kind.values)
    case 'list': {
      const word = kind.values === undefined ? z.string() : z.enum(kind.values)
      const text = z.string().refine(value => parseValue(kind, value).ok)
      return z.union([text, z.array(word).min(kind.values === undefined ? 0 : 1)])
    }
    case 'text':
      return z.string().regex(kind.pattern)
    case 'endpoint':
      return endpointSchema(kind)
  }
}

function integerSchema({ min, max }: IntegerKind): z.ZodType {
  // Kafka's "never" is 2^63 - 1, which no JavaScript integer can be.
  if (max === Number.MAX_SAFE_INTEGER)
    return z.number().min(min).max(Number(LONG_MAX)).multipleOf(1).refine(Number.isInteger)
  return z.int().min(min).max(max)
}

function endpointSchema(kind: Extract<Kind, { type: 'endpoint' }>): z.ZodType {
  const source = ENDPOINT.source.replace(/^\^|\$$/g, '')
  const pattern = new RegExp(`^(${kind.scheme}://)?${source}$${kind.optional ? '|^$' : ''}`)
  const address = z
    .string()
    .regex(pattern)
    .refine(value => parseValue(kind, value).ok, 'the port must be from 0 to 65535')
  return kind.optional ? address.nullable() : address
}
