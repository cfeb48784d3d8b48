/** Values that programs stumble over: edges of integers, texts that are not what they seem. Pure, seeded. */
import type { Random } from '../torture/random.ts'

const powers = [7, 8, 15, 16, 31, 32, 52, 53, 62, 63]

/** An integer at an edge of its type, as the bytes that hold it may be wider than 2^53. */
export function oddInteger(random: Random, bits: 8 | 16 | 32 | 64): bigint {
  const choice = random.between(0, 5)
  if (choice === 0) return BigInt(random.between(-3, 3))
  if (choice === 1) return BigInt.asIntN(bits, -(2n ** BigInt(bits - 1)))
  if (choice === 2) return 2n ** BigInt(bits - 1) - 1n
  const edge = 2n ** BigInt(random.pick(powers.filter(power => power < bits)))
  const near = edge + BigInt(random.between(-2, 2))
  return BigInt.asIntN(bits, choice === 3 ? near : -near)
}

/** As `oddInteger`, for fields whose values are numbers here: within ±2^53. */
export function oddNumber(random: Random, bits: 8 | 16 | 32 | 64): number {
  const value = Number(oddInteger(random, bits))
  return Math.max(-Number.MAX_SAFE_INTEGER, Math.min(Number.MAX_SAFE_INTEGER, value))
}

const oddTexts = [
  '',
  ' ',
  '.',
  '..',
  '../../etc/passwd',
  '/',
  'a/b',
  'nul\0l',
  'cr\r\nlf',
  'ansi\u001b[2J',
  'caf\u00e9',
  'e\u0301',
  '\u2028',
  '\u202eright to left',
  '\u{1f989}'.repeat(8),
  '\ufeffbom',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  '__consumer_offsets',
  '-1',
  '0',
  '9223372036854775808',
  '1e308',
  'NaN',
  'true',
  'null',
  '%2e%2e%2f',
  '%s %n',
  "'; --",
  'a_b.c',
  'a.b_c',
  'delete,compact',
  ',,,',
]
const longLengths = [48, 49, 249, 250, 255, 256, 4096, 4097, 10_922, 32_766, 32_767]

/** At most 32,767 bytes, which is what the wire can carry. */
export function oddText(random: Random): string {
  const choice = random.between(0, 9)
  if (choice === 0) return 'x'.repeat(random.pick(longLengths))
  if (choice === 1) return '\u20ac'.repeat(random.pick([16, 85, 1366, 10_922]))
  if (choice === 2) return `random-${random.between(0, 20)}`
  return random.pick(oddTexts)
}

/** Bytes that are no UTF-8, in the place of a text. */
export function brokenUtf8(random: Random): Buffer {
  return Buffer.from(
    random.pick(['c0af', 'eda080', 'f4908080', 'ff', 'e282', '80', 'f0288cbc', 'c3', 'edb080']),
    'hex',
  )
}

export function oddBytes(random: Random): Buffer {
  const size = random.pick([0, 1, 2, 7, 60, 61, 62, 200, 5000])
  const bytes = Buffer.alloc(size)
  const kind = random.between(0, 2)
  if (kind === 0) for (let i = 0; i < size; i++) bytes[i] = random.between(0, 255)
  else bytes.fill(kind === 1 ? 0xff : 0)
  return bytes
}
