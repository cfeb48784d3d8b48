/** Slot layout: every field comes back, 64-bit ones exactly, and the words stand where both sides expect them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Command,
  CommandWord,
  emptyCommand,
  emptyReply,
  fromWords,
  highWord,
  lowWord,
  type Reply,
  ReplyWord,
  readCommand,
  readReply,
  writeCommand,
  writeReply,
} from '../../src/ring/commands.ts'
import { SLOT_WORDS } from '../../src/ring/ring.ts'

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })
const int64 = fc.oneof(
  fc.maxSafeInteger(),
  fc.constantFrom(0, -1, -2, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -(2 ** 32), Number.MAX_SAFE_INTEGER),
)

function filled<T extends object>(empty: T, wide: readonly (keyof T)[]): fc.Arbitrary<T> {
  const fields = Object.keys(empty).map(key => [key, wide.includes(key as keyof T) ? int64 : int32])
  return fc.record(Object.fromEntries(fields)) as unknown as fc.Arbitrary<T>
}

test('64-bit numbers are taken apart as two words and put together exactly', () => {
  const bigWord = (value: bigint) => Number(BigInt.asIntN(32, value))
  const property = fc.property(int64, value => {
    expect(highWord(value)).toBe(bigWord(BigInt(value) >> 32n))
    expect(lowWord(value)).toBe(bigWord(BigInt(value)))
    expect(fromWords(highWord(value), lowWord(value))).toBe(value)
  })
  fc.assert(property)
})

test('a command comes back as it was written, and touches its own slot only', () => {
  const property = fc.property(filled<Command>(emptyCommand(), ['offset']), command => {
    const words = new Int32Array(3 * SLOT_WORDS).fill(0x5a5a5a5a)
    writeCommand(words, SLOT_WORDS, command)
    const back = emptyCommand()
    readCommand(words, SLOT_WORDS, back)
    expect(back).toEqual(command)
    const around = [...words.subarray(0, SLOT_WORDS), ...words.subarray(2 * SLOT_WORDS)]
    expect(around.every(word => word === 0x5a5a5a5a)).toBe(true)
  })
  fc.assert(property)
})

test('a reply comes back as it was written, and touches its own slot only', () => {
  const wide = ['baseOffset', 'endOffset', 'timestampMs'] as const
  const property = fc.property(filled<Reply>(emptyReply(), wide), reply => {
    const words = new Int32Array(3 * SLOT_WORDS).fill(0x5a5a5a5a)
    writeReply(words, SLOT_WORDS, reply)
    const back = emptyReply()
    readReply(words, SLOT_WORDS, back)
    expect(back).toEqual(reply)
    const around = [...words.subarray(0, SLOT_WORDS), ...words.subarray(2 * SLOT_WORDS)]
    expect(around.every(word => word === 0x5a5a5a5a)).toBe(true)
  })
  fc.assert(property)
})

test.each([
  ['command', CommandWord],
  ['reply', ReplyWord],
])('no two words of a %s share a place', (_name, layout) => {
  const places = Object.values(layout)
  expect(new Set(places).size).toBe(places.length)
  for (const place of places) expect(place).toBeLessThan(SLOT_WORDS)
})
