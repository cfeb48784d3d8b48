/**
 * Bytes made by an independent encoder (test/support/kafka-json.ts): read and written for every API, version and side.
 */
import { expect, test } from 'vitest'
import { decode, encode, withBytes, withHex } from '../support/frames.ts'
import { readGolden } from '../support/kafka-json.ts'
import { schemas } from './schemas.ts'

for (const api of schemas) {
  const golden = readGolden(api.name)

  test(`${api.name}: every version has its golden bytes`, () => {
    expect(golden.key).toBe(api.key)
    const [min, max] = api.versions
    for (const side of ['request', 'response']) {
      const versions = golden.cases.filter(c => c.side === side).map(c => c.version)
      expect(new Set(versions).size).toBe(max - min + 1)
      expect([Math.min(...versions), Math.max(...versions)]).toEqual([min, max])
    }
  })

  test(`${api.name}: golden bytes read as the values they were made of`, () => {
    for (const { side, version, variant, value, hex } of golden.cases) {
      const message = decode(api, side, version, Buffer.from(hex, 'hex'))
      expect(withHex(message), `${side} v${version} ${variant}`).toEqual(golden.values[value])
    }
  })

  test(`${api.name}: values are written as the golden bytes`, () => {
    for (const { side, version, variant, value, hex } of golden.cases) {
      const bytes = encode(api, side, version, withBytes(golden.values[value]))
      expect(bytes.toString('hex'), `${side} v${version} ${variant}`).toBe(hex)
    }
  })

  test(`${api.name}: messages of every version have the same keys in the same order`, () => {
    for (const side of ['request', 'response'] as const) {
      const shapes = golden.cases
        .filter(c => c.side === side && c.variant === 'full')
        .map(c => Object.keys(decode(api, side, c.version, Buffer.from(c.hex, 'hex')) as object))
      for (const shape of shapes) expect(shape).toEqual(shapes[0])
    }
  })
}
