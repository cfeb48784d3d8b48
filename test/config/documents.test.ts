/** The zod schema, the committed YAML, JSON schema and documentation against the settings table. */

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { documents } from '../../config/generate.ts'
import { loadConfig } from '../../src/config/config.ts'
import { type Kind, parseValue } from '../../src/config/kinds.ts'
import { configSchema, typedDefault } from '../../src/config/schema.ts'
import { settings } from '../../src/config/settings.ts'
import { topicConfigTable } from '../../src/config/topic-config-table.ts'

const root = new URL('../../', import.meta.url)
const committed = (path: string) => readFileSync(new URL(path, root), 'utf8')

test('the committed documents are what node config/generate.ts writes', () => {
  for (const [path, render] of documents) expect(committed(path), path).toBe(render())
})

test('config/odradek.yaml holds every key, with values that change nothing', () => {
  const file = new URL('config/odradek.yaml', root).pathname
  const keys = Object.keys(parse(committed('config/odradek.yaml')) as object)
  expect(keys).toEqual(settings.map(({ key }) => key))
  const withoutOrigin = ({ inForce, ...config }: ReturnType<typeof loadConfig>) => ({
    ...config,
    texts: inForce.map(({ text }) => text),
  })
  expect(withoutOrigin(loadConfig({ file }))).toEqual(withoutOrigin(loadConfig()))
})

test('the schema fills in the defaults and refuses unknown keys', () => {
  const schema = configSchema()
  const defaults = Object.fromEntries(settings.map(setting => [setting.key, typedDefault(setting)]))
  expect(schema.parse({})).toEqual(defaults)
  expect(schema.parse(parse(committed('config/odradek.yaml')))).toEqual(defaults)
  expect(schema.safeParse({ 'broker.ids': 1 }).success).toBe(false)
})

/** Values near what a kind takes, typed as YAML would type them. */
function candidates(kind: Kind): fc.Arbitrary<unknown> {
  const edges = 'min' in kind ? [kind.min - 1, kind.min, kind.max, kind.max + 1] : []
  const words = 'values' in kind && kind.values !== undefined ? [...kind.values] : ['x']
  const addresses = ['localhost:1', '[::1]:0', 'h:65535', 'h:65536', 'h', ':1', '', 'a b:1']
  const schemes = ['PLAINTEXT://h:1', 'http://h:1', 'SSL://h:1']
  return fc.oneof(
    fc.constantFrom<unknown>(...edges, 0.5, -1, 0, 1, 7, 1e15, Number.NaN, 2 ** 63),
    fc.constantFrom<unknown>(true, false, null, 'auto', 'maybe', {}, [], [1]),
    fc.constantFrom<unknown>(...words, ...addresses, ...schemes),
    fc.subarray([...words, 'other']).map(list => list.join(',')),
    fc.subarray([...words, 'other']),
    fc.integer(),
    fc.double({ min: -2, max: 2, noNaN: true }),
  )
}

test('the zod schema and the broker’s own check give the same verdict on any typed value', () => {
  const schema = configSchema()
  for (const { key, kind } of settings)
    fc.assert(
      fc.property(candidates(kind), value => {
        const own = parseValue(kind, value).ok
        expect(schema.safeParse({ [key]: value }).success, `${key}: ${String(value)}`).toBe(own)
      }),
      { numRuns: 60 },
    )
})

test('every default fits its own kind, and keys and variables are unique', () => {
  for (const { key, kind, default: value } of settings)
    expect(parseValue(kind, value).ok, key).toBe(true)
  for (const row of topicConfigTable)
    expect(parseValue(row.kind, row.default).ok, row.name).toBe(true)
  const keys = settings.map(({ key }) => key)
  expect(new Set(keys).size).toBe(keys.length)
  expect(new Set(keys.map(key => key.replaceAll('.', '_'))).size).toBe(keys.length)
})
