/**
 * Frames no honest client sends. Oracle: a value or a ProtocolError, nothing else; never more decoded objects than
 * bytes; never a read behind the frame's end. ODRADEK_FUZZ multiplies the random part (1 = quick, 50 = the release
 * budget).
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ProtocolError, Reader } from '../../src/protocol/bytes.ts'
import { codec, type Side } from '../../src/protocol/compile.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DescribeGroups } from '../../src/protocol/messages/describe-groups.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'
import { readGolden } from '../support/kafka-json.ts'
import { schemas } from './schemas.ts'

type AnySchema = ApiSchema<unknown, unknown>
const effort = Number(process.env.ODRADEK_FUZZ ?? 1)

let arena = Buffer.alloc(1 << 16)

/** Surrounds the frame with bytes that would be noticed, as in an arena. */
function tryRead(api: AnySchema, side: Side, version: number, frame: Uint8Array): unknown {
  if (arena.length < frame.length + 64) arena = Buffer.alloc(frame.length + 64)
  arena.fill(0x01, 32 + frame.length, 64 + frame.length)
  arena.set(frame, 32)
  const r = new Reader().reset(arena, 32, 32 + frame.length)
  try {
    const message = codec(api, version)[side].read(r)
    if (r.pos > r.end) throw new Error('read behind the end')
    if (objectsIn(message) > frame.length) throw new Error('more objects than bytes')
    return message
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return error
  }
}

/** Elements of arrays, at any depth. */
function objectsIn(value: unknown): number {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return 0
  const inner = Object.values(value).reduce((sum: number, item) => sum + objectsIn(item), 0)
  return inner + (Array.isArray(value) ? value.length : 0)
}

function eachGolden(api: AnySchema, visit: (side: Side, version: number, bytes: Buffer) => void) {
  for (const { side, version, hex } of readGolden(api.name).cases) {
    visit(side, version, Buffer.from(hex, 'hex'))
  }
}

for (const api of schemas) {
  test(`${api.name}: a message cut at any byte is refused`, () => {
    eachGolden(api, (side, version, bytes) => {
      for (let size = 0; size < bytes.length; size++) {
        const result = tryRead(api, side, version, bytes.subarray(0, size))
        expect(result, `${side} v${version} cut at ${size}`).toBeInstanceOf(ProtocolError)
      }
    })
  })

  test(`${api.name}: any byte set to 00, 7f, 80, ff gives a message or a refusal`, () => {
    eachGolden(api, (side, version, bytes) => {
      for (let i = 0; i < bytes.length; i++) {
        for (const byte of [0x00, 0x7f, 0x80, 0xff]) {
          const changed = Buffer.from(bytes)
          changed[i] = byte
          tryRead(api, side, version, changed)
        }
      }
    })
  })

  test(`${api.name}: every length set to a lie gives a message or a refusal`, () => {
    let lies = 0
    eachGolden(api, (side, version, bytes) => {
      for (const { at, size, value } of lengthsOf(api, side, version, bytes)) {
        const rest = bytes.length - at - size
        for (const lie of [-2, -1, 0, 1, rest, rest + 1, 2 ** 31 - 1]) {
          if (lie === value) continue
          const changed = Buffer.concat([
            bytes.subarray(0, at),
            lengthBytes(size, lie, version >= api.flexible),
            bytes.subarray(at + size),
          ])
          const result = tryRead(api, side, version, changed)
          const label = `${side} v${version} length ${lie} at ${at}`
          if (lie > rest && lie > value) expect(result, label).toBeInstanceOf(ProtocolError)
          if (lie === -2 && size > 1) expect(result, label).toBeInstanceOf(ProtocolError)
          lies++
        }
      }
    })
    expect(lies).toBeGreaterThan(0)
  })

  test(`${api.name}: mutated messages and random bytes give a message or a refusal`, () => {
    const { cases } = readGolden(api.name)
    const golden = fc.constantFrom(...cases)
    const edits = fc.array(
      fc.record({ at: fc.nat(), drop: fc.nat(3), insert: fc.uint8Array({ maxLength: 6 }) }),
      { minLength: 1, maxLength: 4 },
    )
    fc.assert(
      fc.property(golden, edits, ({ side, version, hex }, changes) => {
        let bytes = Buffer.from(hex, 'hex')
        for (const { at, drop, insert } of changes) {
          const pos = at % (bytes.length + 1)
          bytes = Buffer.concat([bytes.subarray(0, pos), insert, bytes.subarray(pos + drop)])
        }
        tryRead(api, side, version, bytes)
      }),
      { numRuns: 500 * effort },
    )
    fc.assert(
      fc.property(golden, fc.uint8Array({ maxLength: 300 }), ({ side, version }, bytes) => {
        tryRead(api, side, version, bytes)
      }),
      { numRuns: 500 * effort },
    )
  })
}

interface LengthField {
  at: number
  size: number
  value: number
}

/** Where a message has its lengths: a Reader that notes what it is asked for. */
function lengthsOf(api: AnySchema, side: Side, version: number, bytes: Buffer): LengthField[] {
  const found: LengthField[] = []
  const sizes: { [method: string]: number } = {
    string: 2,
    nullableString: 2,
    array: 4,
    nullableArray: 4,
    records: 4,
    nullableRecords: 4,
  }
  const r = new Reader(bytes)
  for (const method of lengthMethods) {
    const original = Reader.prototype[method] as (argument?: number) => unknown
    Object.defineProperty(r, method, {
      value(argument?: number) {
        const at = r.pos
        const fixed = sizes[method]
        const size = fixed ?? uvarintBytes(bytes, at)
        const value =
          fixed === undefined
            ? new Reader(bytes.subarray(at)).uvarint() - 1
            : bytes.readIntBE(at, fixed)
        found.push({ at, size, value })
        return original.call(r, argument)
      },
    })
  }
  codec(api, version)[side].read(r)
  return found
}

const lengthMethods = [
  'string',
  'nullableString',
  'compactString',
  'compactNullableString',
  'array',
  'nullableArray',
  'compactArray',
  'compactNullableArray',
  'nullableRecords',
  'compactNullableRecords',
] as const

function uvarintBytes(bytes: Buffer, at: number): number {
  let size = 1
  while (bytes[at + size - 1] >= 0x80) size++
  return size
}

function lengthBytes(size: number, value: number, isCompact: boolean): Buffer {
  if (isCompact) {
    const bytes: number[] = []
    let rest = (value + 1) >>> 0
    for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
    return Buffer.from([...bytes, rest])
  }
  const bytes = Buffer.alloc(size)
  bytes.writeIntBE(size === 2 ? Math.min(value, 0x7fff) : value, 0, size)
  return bytes
}

/** Metadata v12 request: `count` topics of null name, then the flags and the tag section. */
function metadataRequest(count: number, tags: Uint8Array): Buffer {
  const topic = Buffer.concat([Buffer.alloc(16), Buffer.from([0, 0])])
  const topics = Buffer.alloc(topic.length * count).fill(topic)
  return Buffer.concat([lengthBytes(0, count, true), topics, Buffer.from([1, 0]), tags])
}

test('a request names at most 10,000 topics', () => {
  const none = Buffer.from([0])
  const most = tryRead(Metadata, 'request', 12, metadataRequest(10_000, none))
  expect((most as { topics: unknown[] }).topics).toHaveLength(10_000)
  const result = tryRead(Metadata, 'request', 12, metadataRequest(10_001, none))
  expect((result as Error).message).toBe('too many topics (request.topics.max=10000)')
})

test('a request names at most 100,000 partitions over all its topics', () => {
  const topicOf = (count: number) => {
    const partition = Buffer.from([0, 0, 0, 0, 0, 0])
    const name = Buffer.from([2, 0x61])
    const partitions = Buffer.alloc(partition.length * count).fill(partition)
    return Buffer.concat([name, lengthBytes(0, count, true), partitions, Buffer.from([0])])
  }
  const request = (counts: number[]) =>
    Buffer.concat([
      Buffer.from([0, 0, 1, 0, 0, 0, 0, counts.length + 1]),
      ...counts.map(topicOf),
      Buffer.from([0]),
    ])
  const most = tryRead(Produce, 'request', 9, request([50_000, 50_000]))
  expect((most as { topicData: unknown[] }).topicData).toHaveLength(2)
  const result = tryRead(Produce, 'request', 9, request([50_000, 50_001]))
  expect((result as Error).message).toBe('too many partitions (request.partitions.max=100000)')
})

test('a request has at most 250,000 elements, however deep', () => {
  const request = (brokerIds: number) =>
    Buffer.concat([
      Buffer.from('0000000100016100000001000100000001', 'hex'),
      Buffer.from('00000000', 'hex'),
      lengthBytes(4, brokerIds, false),
      Buffer.alloc(4 * brokerIds),
      Buffer.from('000000000000000000', 'hex'),
    ])
  // The topic and its assignment count, too.
  expect(tryRead(CreateTopics, 'request', 1, request(249_998))).not.toBeInstanceOf(Error)
  const result = tryRead(CreateTopics, 'request', 1, request(249_999))
  expect((result as Error).message).toBe('too many elements (request.elements.max=250000)')
})

test('null is refused in versions that do not allow it yet', () => {
  const read = (version: number, hex: string) =>
    tryRead(Metadata, 'request', version, Buffer.from(hex, 'hex'))
  expect(read(1, 'ffffffff')).toMatchObject({ topics: null })
  expect(read(0, 'ffffffff')).toBeInstanceOf(ProtocolError)
  const topicOfNullName = '020000010000'
  expect(read(9, topicOfNullName)).toBeInstanceOf(ProtocolError)
  expect(read(10, `02${'00'.repeat(16)}000001000000`)).toMatchObject({ topics: [{ name: null }] })
})

test('a known tag must fill the size it declares', () => {
  const fetch = (tags: string) => Buffer.from(`${'00'.repeat(25)}010101${tags}`, 'hex')
  const read = (tags: string) => tryRead(Fetch, 'request', 12, fetch(tags))
  expect(read('0100020261')).toMatchObject({ clusterId: 'a' })
  expect((read('010003026100') as Error).message).toBe('tag size does not match its value')
  expect((read('0100010261') as Error).message).toBe('tag size does not match its value')
})

/** A tag section as clients of later versions may send it. */
function tagSection(tags: readonly (readonly [tag: number, bytes: number])[]): Buffer {
  return Buffer.concat([
    lengthBytes(0, tags.length - 1, true),
    ...tags.flatMap(([tag, bytes]) => [
      lengthBytes(0, tag - 1, true),
      lengthBytes(0, bytes - 1, true),
      Buffer.alloc(bytes),
    ]),
  ])
}

test.each([
  [
    'unknown tags are skipped',
    [
      [3, 5],
      [900, 0],
      [2 ** 32 - 1, 1],
    ],
    null,
  ],
  ['sixteen tags are allowed', Array.from({ length: 16 }, (_, i) => [i, 1] as const), null],
  [
    'seventeen are not',
    Array.from({ length: 17 }, (_, i) => [i, 1] as const),
    'too many tags (request.tags.max=16)',
  ],
  [
    'the same tag twice is refused',
    [
      [3, 1],
      [3, 1],
    ],
    'tags out of order',
  ],
  [
    'tags that descend are refused',
    [
      [4, 1],
      [3, 1],
    ],
    'tags out of order',
  ],
  ['4 KiB of tags are allowed', [[1, 4080]], null],
  [
    'more are not',
    [
      [1, 2050],
      [2, 2050],
    ],
    'tags too large (request.tag.bytes.max=4096)',
  ],
] as const)('tag sections: %s', (_, tags, error) => {
  const result = tryRead(Metadata, 'request', 12, metadataRequest(1, tagSection(tags)))
  if (error === null) expect(result).not.toBeInstanceOf(Error)
  else expect((result as Error).message).toBe(error)
})

test('a tag that is longer than the frame is refused', () => {
  const tags = tagSection([[1, 100]]).subarray(0, 50)
  const result = tryRead(Metadata, 'request', 12, metadataRequest(1, tags))
  expect((result as Error).message).toBe('truncated tag')
})

test('bytes behind a request are ignored', () => {
  const bytes = Buffer.concat([metadataRequest(1, Buffer.from([0])), Buffer.from('more')])
  expect(tryRead(Metadata, 'request', 12, bytes)).not.toBeInstanceOf(Error)
})

test('a string that is no UTF-8 and would grow beyond what a string can be is refused', () => {
  const describe = (name: Buffer) => {
    const head = Buffer.from([0, 0, 0, 1, 0, 0])
    head.writeUInt16BE(name.length, 4)
    return tryRead(DescribeGroups, 'request', 0, Buffer.concat([head, name]))
  }
  expect((describe(Buffer.alloc(32_767, 0xff)) as Error).message).toBe('string too long')
  expect((describe(Buffer.alloc(10_923, 0xff)) as Error).message).toBe('string too long')
  expect(describe(Buffer.alloc(10_922, 0xff))).toMatchObject({ groups: ['\ufffd'.repeat(10_922)] })
  expect(describe(Buffer.alloc(32_767, 'x'))).toMatchObject({ groups: ['x'.repeat(32_767)] })
})
