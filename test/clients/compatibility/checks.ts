/** What scenarios compare, and the records they send. */
import assert from 'node:assert/strict'
import { type CodecName, codecNames } from '../../../src/protocol/compression.ts'
import { codecAt, recordCountAt } from '../../../src/protocol/record-batch.ts'
import { ClientError, type ReadRecord, type TestRecord } from './driver.ts'
import { type TestMember, until } from './stage.ts'

export const numbersFrom = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, i) => from + i)

/** Text that compresses, a number that makes it unique, and every byte there is. */
const contentOf = (i: number) =>
  Buffer.concat([Buffer.from(`record ${i} `.repeat(8)), i % 7 === 0 ? everyByte : Buffer.alloc(0)])
const everyByte = Buffer.from(numbersFrom(0, 256))

export function keyedRecords(count: number, withHeaders: boolean): TestRecord[] {
  const headers = [
    ['source', Buffer.from('compatibility')],
    ['colour', Buffer.from('blue')],
  ] as const
  return numbersFrom(0, count).map(i => ({
    key: Buffer.from(`user ${i % 20}`),
    value: contentOf(i),
    ...(withHeaders ? { headers } : {}),
  }))
}

export const unkeyedRecords = (count: number): TestRecord[] =>
  numbersFrom(0, count).map(i => ({ key: null, value: contentOf(1000 + i) }))

/** One record of this size to partition 0; the same bytes at no two places near each other. */
export function largeRecord(valueBytes: number): TestRecord {
  const words = numbersFrom(0, Math.ceil(valueBytes / 8)).map(i => `${i}`.padStart(8, '.'))
  return { partition: 0, key: null, value: Buffer.from(words.join('')).subarray(0, valueBytes) }
}

const textOf = ({ key, value, headers }: TestRecord | ReadRecord) =>
  JSON.stringify([
    key?.toString('base64'),
    value?.toString('base64'),
    (headers ?? []).map(([name, bytes]) => [name, bytes.toString('base64')]),
  ])

/** Every record once, byte for byte; dense offsets in each partition; a key in one partition, in the order sent. */
export function checkReadBack(read: readonly ReadRecord[], sent: readonly TestRecord[]): void {
  assert.equal(read.length, sent.length, 'as many records as were sent')
  const expected = sent.map(textOf).toSorted()
  const found = read.map(textOf).toSorted()
  const at = expected.findIndex((text, i) => text !== found[i])
  assert.equal(at < 0 ? null : found[at], at < 0 ? null : expected[at], 'the same bytes')
  const byPartition = Map.groupBy(read, ({ partition }) => partition)
  for (const records of byPartition.values()) {
    const offsets = records.map(({ offset }) => offset)
    assert.deepEqual(offsets, numbersFrom(0, records.length), 'offsets in order, without gaps')
  }
  const keyed = (records: readonly (TestRecord | ReadRecord)[]) =>
    Map.groupBy(
      records.filter(({ key }) => key !== null),
      ({ key }) => `${key}`,
    )
  const sentByKey = keyed(sent)
  for (const [key, records] of keyed(read)) {
    const homes = new Set((records as ReadRecord[]).map(({ partition }) => partition))
    assert.equal(homes.size, 1, `${key} is in one partition`)
    assert.deepEqual(records.map(textOf), sentByKey.get(key)?.map(textOf), `${key} is in order`)
  }
}

/** Clients send a batch plain when compression would make it larger; those must be few. */
export function checkStoredCodec(stored: readonly Uint8Array[], codec: CodecName): void {
  const counts = new Map<CodecName, number>()
  for (const batch of stored) {
    const name = codecNames[codecAt(batch, 0)]
    counts.set(name, (counts.get(name) ?? 0) + recordCountAt(batch, 0))
  }
  const all = [...counts.values()].reduce((sum, count) => sum + count, 0)
  const others = [...counts.keys()].filter(name => name !== codec && name !== 'none')
  assert.deepEqual(others, [], `nothing is stored but ${codec}`)
  const packed = counts.get(codec) ?? 0
  assert.ok(packed > 0.9 * all, `${packed} of ${all} records are stored as ${codec}`)
}

/** The call fails with Kafka's code, or, where the client does not tell codes, in words that say it. */
export async function checkRefused(
  call: Promise<unknown>,
  code: number,
  words: RegExp,
): Promise<void> {
  const error = await call.then(
    () => null,
    (thrown: Error) => thrown,
  )
  assert.ok(error !== null, `the call is refused with code ${code}`)
  const said = `${error.name}: ${error.message}`
  const isClear =
    error instanceof ClientError && error.code !== undefined
      ? error.code === code
      : words.test(said)
  assert.ok(isClear, `the error says it (code ${code} or ${words}), not: ${said}`)
}

/** Waits until every partition has exactly one of these members, and each of them has some. */
export async function settled(members: readonly TestMember[], partitions: number): Promise<void> {
  const owned = () => members.flatMap(({ assignment }) => assignment).toSorted((a, b) => a - b)
  const all = `${numbersFrom(0, partitions)}`
  const isSettled = () => {
    for (const member of members) member.check()
    return `${owned()}` === all && members.every(({ assignment }) => assignment.length > 0)
  }
  await until(
    isSettled,
    () => `assignments ${JSON.stringify(members.map(({ assignment }) => assignment))}`,
  )
}

export const valuesOf = (records: readonly ReadRecord[]) =>
  records.map(({ value }) => Number(value)).toSorted((a, b) => a - b)

/** Waits until the members together have read so many different values. */
export async function haveRead(members: readonly TestMember[], count: number): Promise<void> {
  const seen = () =>
    new Set(members.flatMap(({ records }) => records.map(one => Number(one.value))))
  await until(
    () => {
      for (const member of members) member.check()
      return seen().size >= count
    },
    () => `${seen().size} of ${count} values were read`,
  )
}
