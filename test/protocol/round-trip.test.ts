/** Any value a schema allows is read back as it was written, in every version that has its fields. */
import fc, { type Arbitrary } from 'fast-check'
import { expect, test } from 'vitest'
import type { Field, Fields } from '../../src/protocol/schema.ts'
import { decode, encode, withHex } from '../support/frames.ts'
import { schemas } from './schemas.ts'

/** What is present in `version`; absent fields have their default, as they are read. */
function structOf(fields: Fields, version: number): Arbitrary<unknown> {
  const arbitraries = Object.entries(fields).map(([name, field]) => {
    const isPresent = version >= field.from && version <= field.to
    return [name, isPresent ? fieldOf(field, version) : fc.constant(field.absent)]
  })
  return fc.record(Object.fromEntries(arbitraries))
}

function fieldOf(field: Field<unknown>, version: number): Arbitrary<unknown> {
  const value = sampleOf(field, version)
  const isNullable = version >= field.nullableFrom || field.type === 'struct'
  return isNullable ? fc.option(value, { freq: 4 }) : value
}

function sampleOf(field: Field<unknown>, version: number): Arbitrary<unknown> {
  switch (field.type) {
    case 'bool':
      return fc.boolean()
    case 'int8':
      return fc.integer({ min: -128, max: 127 })
    case 'int16':
      return fc.integer({ min: -32_768, max: 32_767 })
    case 'int32':
      return fc.integer()
    case 'int64':
      return fc.maxSafeInteger()
    case 'uuid':
      return fc
        .uint8Array({ minLength: 16, maxLength: 16 })
        .map(bytes => Buffer.from(bytes).toString('base64url'))
    case 'string':
      return fc.string({ unit: 'grapheme', maxLength: 140 })
    case 'bytes':
    case 'records':
      return fc.uint8Array({ maxLength: 1500 }).map(bytes => Buffer.from(bytes))
    case 'array':
      // Elements are never null.
      return fc.array(sampleOf(field.element!, version), { maxLength: 4 })
    case 'struct':
      return structOf(field.fields!, version)
    default:
      throw new Error(`no message has ${field.type}`)
  }
}

for (const api of schemas) {
  test(`${api.name}: written and read back`, () => {
    for (let version = api.versions[0]; version <= api.versions[1]; version++) {
      for (const side of ['request', 'response'] as const) {
        const property = fc.property(structOf(api[side], version), message => {
          const bytes = encode(api, side, version, message)
          expect(withHex(decode(api, side, version, bytes))).toEqual(withHex(message))
        })
        fc.assert(property, { numRuns: 30 })
      }
    }
  })
}
