import { expect, test } from 'vitest'
import { isJson, JsonScan, JsonScanError } from '../../../src/http/rest/json-scan.ts'

function isJsonByParse(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

const seeds = [
  '{"a":[1,-2.5e+10,true,false,null,"x\\u00e9\\n\\"\\\\"],"b":{},"c":[]}',
  '[[],{},[{"k":"v"}], 0, -0, 1E5 , "" ]',
  ' "text" ',
  '12345678901234567890',
  '{"":{"":{"":[[[["deep"]]]]}}}',
]
const alphabet = '{}[]:,"\\ \t\n0123456789-+.eEtruefalsnx/bu'

test('takes what JSON.parse takes, and nothing else, whatever is done to the text', () => {
  let state = 12345
  const random = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return (state >>> 8) % below
  }
  let good = 0
  for (let round = 0; round < 60_000; round++) {
    let text = seeds[random(seeds.length)]
    for (let edits = random(4); edits > 0; edits--) {
      const at = random(text.length + 1)
      const cut = random(3)
      const insert = random(2) === 0 ? '' : alphabet[random(alphabet.length)]
      text = text.slice(0, at) + insert + text.slice(at + cut)
    }
    const expected = isJsonByParse(text)
    if (expected) good++
    expect(isJson(Buffer.from(text)), text).toBe(expected)
  }
  // Both sides of the fence were seen.
  expect(good).toBeGreaterThan(1000)
  expect(good).toBeLessThan(59_000)
})

test.each([
  '',
  ' ',
  '01',
  '1.',
  '.5',
  '+1',
  '"\u0001"',
  '"\\x"',
  '"\\u12g4"',
  '[1,]',
  '{"a":1,}',
  'nul',
  'NaN',
  '1 2',
  '{a:1}',
  "'a'",
])('%j is no JSON', text => {
  expect(isJson(Buffer.from(text))).toBe(false)
})

test('bytes that are not UTF-8 are no JSON', () => {
  expect(isJson(Buffer.from([0x22, 0xff, 0x22]))).toBe(false)
})

test('nesting is bounded, not the stack', () => {
  const nested = (depth: number) => Buffer.from('['.repeat(depth) + ']'.repeat(depth))
  expect(isJson(nested(1000))).toBe(true)
  expect(isJson(nested(1001))).toBe(false)
  expect(isJson(Buffer.from('['.repeat(1_000_000)))).toBe(false)
  expect(() => new JsonScan(nested(33), 32).skipValue()).toThrow(JsonScanError)
})
