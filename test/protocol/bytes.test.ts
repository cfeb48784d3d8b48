/** Reader and Writer against naive encoders, at the edges of every type, over private and shared memory. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ProtocolError, Reader, Writer, zeroUuid } from '../../src/protocol/bytes.ts'
import { written } from '../support/frames.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const reader = (text: string) => new Reader(Buffer.from(text, 'hex'))

function shared(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(new SharedArrayBuffer(bytes.length))
  copy.set(bytes)
  return copy
}

/** Unsigned varint by the book. */
function naiveUvarint(value: bigint): string {
  const bytes: number[] = []
  let rest = value
  while (rest >= 128n) {
    bytes.push(Number(rest % 128n) + 128)
    rest /= 128n
  }
  return hex(Uint8Array.from([...bytes, Number(rest)]))
}
const naiveZigzag = (value: bigint) => naiveUvarint(value >= 0n ? value * 2n : -value * 2n - 1n)

test('numbers are written and read big-endian', () => {
  const bytes = written(w => {
    w.int8(-2)
    w.bool(true)
    w.int16(-300)
    w.int32(-70_000)
    w.int64(-(2 ** 40) - 1)
  })
  expect(hex(bytes)).toBe('fe01fed4fffeee90fffffeffffffffff')
  const r = new Reader(bytes)
  expect([r.int8(), r.bool(), r.int16()]).toEqual([-2, true, -300])
  expect([r.int32(), r.int64()]).toEqual([-70_000, -(2 ** 40) - 1])
  expect(r.remaining).toBe(0)
  expect(() => r.int8()).toThrow(ProtocolError)
})

test('int64 is exact within 2^53 and refused beyond', () => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), value => {
      const bytes = written(w => w.int64(value))
      expect(bytes.readBigInt64BE()).toBe(BigInt(value))
      expect(new Reader(bytes).int64()).toBe(value)
    }),
  )
  for (const text of ['7fffffffffffffff', '8000000000000000', '0020000000000000']) {
    expect(() => reader(text).int64(), text).toThrow(ProtocolError)
  }
  expect(reader('ffffffffffffffff').int64()).toBe(-1)
  expect(reader('001fffffffffffff').int64()).toBe(Number.MAX_SAFE_INTEGER)
})

test('any byte but 0 is true', () => {
  expect([reader('00'), reader('01'), reader('ff')].map(r => r.bool())).toEqual([false, true, true])
})

test('varints match the book', () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), value => {
      const text = naiveUvarint(BigInt(value))
      expect(hex(written(w => w.uvarint(value)))).toBe(text)
      expect(reader(text).uvarint()).toBe(value)
    }),
  )
  fc.assert(
    fc.property(fc.integer(), value => {
      expect(reader(naiveZigzag(BigInt(value))).varint()).toBe(value)
    }),
  )
  fc.assert(
    fc.property(fc.maxSafeInteger(), value => {
      expect(reader(naiveZigzag(BigInt(value))).varlong()).toBe(value)
    }),
  )
})

test.each([
  ['uvarint that never ends', 'ffffffffff', 'uvarint'],
  ['uvarint of more than 32 bits', 'ffffffff1f', 'uvarint'],
  ['uvarint cut short', '80', 'uvarint'],
  ['varlong of eleven bytes', '8080808080808080808001', 'varlong'],
  ['varlong of more than 64 bits', 'ffffffffffffffffff02', 'varlong'],
  ['varlong beyond 2^53', naiveZigzag(2n ** 53n), 'varlong'],
  ['varlong below -2^53', naiveZigzag(-(2n ** 53n) - 1n), 'varlong'],
  ['varlong cut short', 'ffff', 'varlong'],
] as const)('%s is refused', (_, text, method) => {
  expect(() => reader(text)[method]()).toThrow(ProtocolError)
})

const text = fc.oneof(
  fc.string({ maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 100 }),
  fc.constantFrom(
    '',
    'a'.repeat(42),
    'é'.repeat(42),
    'é'.repeat(63),
    'é'.repeat(64),
    '日'.repeat(42),
  ),
)

test('strings come back the same, in all four forms, from private and shared memory', () => {
  fc.assert(
    fc.property(text, value => {
      const size = Buffer.byteLength(value)
      const utf8 = hex(Buffer.from(value))
      const plain = written(w => w.string(value))
      const compact = written(w => w.compactString(value))
      expect(hex(plain)).toBe(size.toString(16).padStart(4, '0') + utf8)
      expect(hex(compact)).toBe(naiveUvarint(BigInt(size + 1)) + utf8)
      expect(hex(written(w => w.nullableString(value)))).toBe(hex(plain))
      expect(hex(written(w => w.compactNullableString(value)))).toBe(hex(compact))
      for (const bytes of [plain, shared(plain)]) {
        expect(new Reader(bytes).string()).toBe(value.toWellFormed())
        expect(new Reader(bytes).nullableString()).toBe(value.toWellFormed())
      }
      for (const bytes of [compact, shared(compact)]) {
        expect(new Reader(bytes).compactString()).toBe(value.toWellFormed())
        expect(new Reader(bytes).compactNullableString()).toBe(value.toWellFormed())
      }
    }),
    { numRuns: 1000 },
  )
})

test('short strings that share a place in the table of known texts do not mix', () => {
  const names = Array.from({ length: 5000 }, (_, i) => `topic-${i}`)
  for (let round = 0; round < 2; round++) {
    for (const name of names) expect(new Reader(written(w => w.string(name))).string()).toBe(name)
  }
})

test('null is a value only where the schema allows it', () => {
  expect(reader('ffff').nullableString()).toBe(null)
  expect(reader('00').compactNullableString()).toBe(null)
  expect(reader('ffffffff').nullableBytes()).toBe(null)
  expect(reader('00').compactNullableRecords()).toBe(null)
  expect(reader('ffffffff').nullableArray(1)).toBe(-1)
  expect(reader('00').compactNullableArray(1)).toBe(-1)
  expect(() => reader('ffff').string()).toThrow(ProtocolError)
  expect(() => reader('fffe').nullableString()).toThrow(ProtocolError)
  expect(() => reader('00').compactString()).toThrow(ProtocolError)
  expect(() => reader('ffffffff').bytesField()).toThrow(ProtocolError)
  expect(() => reader('00').compactBytes()).toThrow(ProtocolError)
  expect(() => reader('fffffffe').nullableRecords()).toThrow(ProtocolError)
  expect(() => reader('ffffffff').array(1)).toThrow(ProtocolError)
  expect(() => reader('00').compactArray(1)).toThrow(ProtocolError)
  expect(() => reader('fffffffe').nullableArray(1)).toThrow(ProtocolError)
})

test('a compact string has the same longest size as a plain one', () => {
  const longest = written(w => w.compactString('a'.repeat(32_767)))
  expect(new Reader(longest).compactString()).toHaveLength(32_767)
  const longer = Buffer.concat([Buffer.from([0x81, 0x80, 0x02]), Buffer.alloc(32_768, 'a')])
  expect(() => new Reader(longer).compactString()).toThrow('string too long')
  expect(() => written(w => w.string('a'.repeat(32_768)))).toThrow('32767')
  expect(() => written(w => w.compactString('日'.repeat(11_000)))).toThrow('32767')
})

test('an array is refused when its elements cannot fit the frame', () => {
  expect(reader(`00000002${'00'.repeat(8)}`).array(4)).toBe(2)
  expect(() => reader(`00000003${'00'.repeat(8)}`).array(4)).toThrow(ProtocolError)
  expect(() => reader('7fffffff').array(1)).toThrow(ProtocolError)
  expect(() => reader('ffffffff0f').compactArray(16)).toThrow(ProtocolError)
})

test('records are views of the frame, also in shared memory', () => {
  for (const bytes of [Buffer.from('00000003aabbcc', 'hex')].flatMap(b => [b, shared(b)])) {
    const view = new Reader(bytes).records()
    expect(hex(view)).toBe('aabbcc')
    expect(view.buffer).toBe(bytes.buffer)
    expect(view.byteOffset).toBe(bytes.byteOffset + 4)
  }
})

test('uuids are 22 characters of base64url', () => {
  const id = '_-AAAAAAAAAAAAAAAAAAAQ'
  const bytes = written(w => w.uuid(id))
  expect(hex(bytes)).toBe('ffe00000000000000000000000000001')
  expect(new Reader(shared(bytes)).uuid()).toBe(id)
  expect(hex(written(w => w.uuid(zeroUuid)))).toBe('00'.repeat(16))
  expect(() => written(w => w.uuid('short'))).toThrow('uuid')
})

test('a Reader does not look behind its end', () => {
  const r = new Reader().reset(Buffer.from('0000000100000002', 'hex'), 0, 4)
  expect(r.int32()).toBe(1)
  expect(() => r.int8()).toThrow(ProtocolError)
  expect(() => r.uvarint()).toThrow(ProtocolError)
  expect(() => r.skipTags()).toThrow(ProtocolError)
  expect(r.reset(r.bytes, 4, 8).int32()).toBe(2)
})

const frame = fc.array(
  fc.oneof(
    fc.record({ text: fc.string({ maxLength: 300 }) }),
    fc.record({ blob: fc.integer({ min: 0, max: 3000 }) }),
    fc.record({ blob: fc.constantFrom(1023, 1024, 70_000, 200_000) }),
  ),
  { maxLength: 8 },
)

test('frames stand one behind another, whatever their size, and never change afterwards', () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 12 }), frames => {
      const w = new Writer(64)
      const sent = frames.map((parts, index) => {
        const wanted: Uint8Array[] = []
        w.begin()
        for (const part of parts) {
          if ('text' in part) {
            w.string(part.text)
            const utf8 = Buffer.from(part.text)
            wanted.push(Buffer.from([utf8.length >> 8, utf8.length & 0xff]), utf8)
          } else {
            const blob = Buffer.alloc(part.blob, index + 1)
            w.compactRecords(blob)
            wanted.push(Buffer.from(naiveUvarint(BigInt(part.blob + 1)), 'hex'), blob)
          }
        }
        return { pieces: w.end(), wanted: Buffer.concat(wanted) }
      })
      for (const { pieces, wanted } of sent) {
        const bytes = Buffer.concat(pieces)
        expect(bytes.readInt32BE()).toBe(wanted.length)
        expect(bytes.subarray(4).equals(wanted)).toBe(true)
      }
    }),
  )
})

test('small records are copied, large ones referenced', () => {
  const w = new Writer()
  const small = Buffer.alloc(1023, 1)
  const large = shared(Buffer.alloc(1024, 2))
  w.begin()
  w.records(small)
  expect(w.end()).toHaveLength(1)
  w.begin()
  w.records(large)
  w.int16(7)
  const pieces = w.end()
  expect(pieces).toHaveLength(3)
  expect(pieces[1]).toBe(large)
  expect(hex(pieces[0])).toBe('0000040600000400')
  expect(hex(pieces[2])).toBe('0007')
})

test('a frame that was begun and given up leaves nothing behind', () => {
  const w = new Writer()
  w.begin()
  w.records(Buffer.alloc(5000))
  w.string('given up')
  w.begin()
  w.int8(5)
  expect(w.end().map(hex)).toEqual(['0000000105'])
})

test('tagged values of every size carry their size', () => {
  for (const size of [0, 1, 126, 127, 128, 129, 16_383, 16_384, 70_000]) {
    const blob = Buffer.alloc(size, 0xab)
    const bytes = written(w => {
      w.int16(1)
      const mark = w.beginTag(200)
      for (const byte of blob) w.int8(byte)
      w.endTag(mark)
      w.int16(2)
    })
    const wanted = `0001c801${naiveUvarint(BigInt(size))}${hex(blob)}0002`
    expect(hex(bytes), `${size}`).toBe(wanted)
  }
})

test('a tag whose size needs a second byte just where the slab ends', () => {
  for (let before = 65_536 - 4 - 210; before < 65_536 - 4 - 190; before++) {
    const bytes = written(w => {
      for (let i = 0; i < before; i++) w.int8(1)
      const mark = w.beginTag(1)
      for (let i = 0; i < 200; i++) w.int8(2)
      w.endTag(mark)
    })
    expect(bytes.length).toBe(before + 203)
    expect(hex(bytes.subarray(before))).toBe(`01c801${'02'.repeat(200)}`)
  }
})
