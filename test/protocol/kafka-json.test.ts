/** Schemas and golden bytes against Kafka's own message definitions, where those are at hand. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { Errors, errorName, isRetriable } from '../../src/protocol/errors.ts'
import type { ApiSchema, Field, Fields } from '../../src/protocol/schema.ts'
import {
  camelCase,
  defaultOf,
  goldenFile,
  goldenPath,
  goldenText,
  hasVersion,
  type JsonField,
  loadMessage,
  servedFields,
} from '../support/kafka-json.ts'
import { schemas } from './schemas.ts'

const directory = join(import.meta.dirname, '../../../shared/kafka-protocol')
const isThere = existsSync(join(directory, 'messages-3.9'))
const why = isThere ? '' : ` (skipped: no Kafka message definitions in ${directory})`

describe.skipIf(!isThere)(`Kafka's message definitions${why}`, () => {
  for (const api of schemas) {
    for (const side of ['request', 'response'] as const) {
      test(`${api.name} ${side}: fields, order, types, versions, nulls, tags and defaults`, () => {
        const name = `${api.name}${side === 'request' ? 'Request' : 'Response'}`
        const message = loadMessage(directory, name)
        expect(message.apiKey).toBe(api.key)
        for (let version = api.versions[0]; version <= api.versions[1]; version++) {
          expect(hasVersion(message.validVersions, version)).toBe(true)
          const flexible = hasVersion(message.flexibleVersions, version)
          expect(version >= api.flexible, `flexible v${version}`).toBe(flexible)
        }
        compareFields(api, api[side], message.fields, name, api.versions)
      })
    }

    test(`${api.name}: the committed golden bytes are what the generator makes`, () => {
      const text = readFileSync(goldenPath(api.name), 'utf8')
      expect(text).toBe(goldenText(goldenFile(directory, api.name)))
    })
  }

  test('error codes, names and which are retriable', () => {
    const [, ...rows] = readFileSync(join(directory, 'errors.tsv'), 'utf8').trim().split('\n')
    const table = rows.map(row => row.split('\t'))
    const wanted = new Map(table.map(([name, code]) => [name, Number(code)]))
    expect(new Map<string, number>(Object.entries(Errors))).toEqual(wanted)
    for (const [name, code, retriable] of table) {
      expect(errorName(Number(code))).toBe(name)
      expect(isRetriable(Number(code)), name).toBe(retriable === 'true')
    }
  })
})

/** `outer`: the versions in which the struct around these fields is there at all. */
function compareFields(
  api: ApiSchema<unknown, unknown>,
  ours: Fields,
  theirs: JsonField[],
  path: string,
  outer: readonly [number, number],
): void {
  const served = servedFields(theirs, api.name)
  expect(Object.keys(ours), path).toEqual(served.map(({ name }) => camelCase(name)))
  for (const field of served) {
    const our = ours[camelCase(field.name)]
    const at = `${path}.${field.name}`
    for (let version = outer[0]; version <= outer[1]; version++) {
      const isPresent = version >= our.from && version <= our.to
      expect(isPresent, `${at} v${version}`).toBe(hasVersion(field.versions, version))
      if (!isPresent) {
        expect(our.absent, `${at} default`).toEqual(defaultOf(field))
        continue
      }
      expect(our.tag >= 0, `${at} tagged v${version}`).toBe(
        hasVersion(field.taggedVersions, version),
      )
      const isNullable = version >= our.nullableFrom
      expect(isNullable, `${at} null v${version}`).toBe(hasVersion(field.nullableVersions, version))
    }
    if (our.tag >= 0) {
      expect(our.tag, at).toBe(field.tag)
      expect(our.absent, `${at} default`).toEqual(defaultOf(field))
    }
    compareType(api, our, field, at, outer)
  }
}

function compareType(
  api: ApiSchema<unknown, unknown>,
  our: Field<unknown>,
  field: JsonField,
  at: string,
  outer: readonly [number, number],
): void {
  const isArray = field.type.startsWith('[]')
  expect(our.type === 'array', at).toBe(isArray)
  const item = isArray ? our.element! : our
  if (field.fields === undefined) {
    expect(item.type, at).toBe(field.type.replace('[]', ''))
    return
  }
  const inner = [Math.max(outer[0], our.from), Math.min(outer[1], our.to)] as const
  compareFields(api, item.fields!, field.fields, at, inner)
}
