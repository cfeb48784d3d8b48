/** Request and response headers, byte for byte. */
import { expect, test } from 'vitest'
import { ProtocolError, Reader } from '../../src/protocol/bytes.ts'
import {
  isFlexibleVersion,
  newRequestHeader,
  readRequestHeader,
  readResponseHeader,
  writeRequestHeader,
  writeResponseHeader,
} from '../../src/protocol/headers.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { written } from '../support/frames.ts'

const lookup = (apiKey: number, apiVersion: number) => {
  const api = [Produce, ApiVersions].find(({ key }) => key === apiKey)
  return api === undefined ? null : isFlexibleVersion(api, apiVersion)
}

test.each([
  ['v1 below the flexible version', Produce, 8, 'kc', '0000000800000007' + '00026b63'],
  ['v2 with a tag section', Produce, 9, 'kc', '0000000900000007' + '00026b63' + '00'],
  ['null client id', Produce, 9, null, '0000000900000007' + 'ffff' + '00'],
  ['ApiVersions v3', ApiVersions, 3, 'kc', '0012000300000007' + '00026b63' + '00'],
] as const)('request header: %s', (_, api, version, clientId, hex) => {
  const bytes = written(w => writeRequestHeader(w, api, version, 7, clientId))
  expect(bytes.toString('hex')).toBe(hex)
  const r = new Reader(bytes)
  const header = { apiKey: api.key, apiVersion: version, correlationId: 7, clientId }
  expect(readRequestHeader(r, lookup)).toEqual(header)
  expect(r.remaining).toBe(0)
})

test.each([
  ['v0', Produce, 8, '00000007'],
  ['v1', Produce, 9, '0000000700'],
  ['ApiVersions stays v0', ApiVersions, 4, '00000007'],
] as const)('response header: %s', (_, api, version, hex) => {
  const bytes = written(w => writeResponseHeader(w, api, version, 7))
  expect(bytes.toString('hex')).toBe(hex)
  const r = new Reader(bytes)
  expect(readResponseHeader(r, api, version)).toBe(7)
  expect(r.remaining).toBe(0)
})

test('an unknown API still gives key, version and correlation id', () => {
  const bytes = Buffer.from('03e7000500000007ffffffff', 'hex')
  const header = readRequestHeader(new Reader(bytes), lookup)
  expect(header).toEqual({ apiKey: 999, apiVersion: 5, correlationId: 7, clientId: null })
})

test('ApiVersions of a version nobody knows gives a header', () => {
  const bytes = Buffer.from('0012006300000007' + '00026b63' + '00', 'hex')
  expect(readRequestHeader(new Reader(bytes), lookup).clientId).toBe('kc')
})

test('a header given to fill is filled again, nothing of the last one left', () => {
  const into = newRequestHeader()
  const first = written(w => writeRequestHeader(w, Produce, 9, 1, 'first'))
  const second = written(w => writeRequestHeader(w, Produce, 8, 2, null))
  readRequestHeader(new Reader(first), lookup, into)
  expect(readRequestHeader(new Reader(second), lookup, into)).toBe(into)
  expect(into).toEqual({ apiKey: 0, apiVersion: 8, correlationId: 2, clientId: null })
})

test('hostile headers are refused, with key, version and correlation id known', () => {
  const hostile = ['fffe', '7fff', `0100${'61'.repeat(256)}00`, 'ffff10', 'ffff820101']
  for (const rest of hostile) {
    const into = newRequestHeader()
    const r = new Reader(Buffer.from(`0000000900000007${rest}`, 'hex'))
    expect(() => readRequestHeader(r, lookup, into), rest.slice(0, 20)).toThrow(ProtocolError)
    expect(into.correlationId).toBe(7)
  }
  for (let size = 0; size < 8; size++) {
    const r = new Reader(Buffer.from('0000000900000007', 'hex').subarray(0, size))
    expect(() => readRequestHeader(r, lookup)).toThrow(ProtocolError)
  }
})
