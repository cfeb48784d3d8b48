import { Writable } from 'node:stream'
import { describe, expect, test } from 'vitest'
import {
  formatPieces,
  jsonPieces,
  RecordPrinter,
  valuePieces,
} from '../../src/cli/record-printer.ts'
import { MessageChunk } from '../../src/client/message-stream.ts'
import { encodeBatch, patchAppend, type RecordToEncode } from '../../src/protocol/record-batch.ts'

function chunkOf(records: readonly RecordToEncode[]): MessageChunk {
  const batch = encodeBatch({ records: [...records] })
  patchAppend(batch, 40, 0)
  const chunk = new MessageChunk()
  chunk.topic = 'clicks'
  chunk.partition = 3
  chunk.reset(batch)
  return chunk
}

async function printed(
  pieces: ConstructorParameters<typeof RecordPrinter>[1],
  records: readonly RecordToEncode[],
): Promise<Buffer> {
  const written: Buffer[] = []
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      // The printer uses its buffer again as soon as a write is over.
      written.push(Buffer.from(chunk))
      done()
    },
  })
  const printer = new RecordPrinter(stream, pieces)
  const chunk = chunkOf(records)
  while (chunk.advance()) {
    printer.print(chunk)
    if (printer.isFull) await printer.flush()
  }
  await printer.flush()
  return Buffer.concat(written)
}

const record: RecordToEncode = {
  key: Buffer.from('k'),
  value: Buffer.from('v'),
  headers: [
    ['a', Buffer.from('1')],
    ['b', null],
  ],
  timestampMs: 99,
}

describe('RecordPrinter', () => {
  test('writes values byte for byte, however long, and an LF after each', async () => {
    const values = [0, 1, 300_000, 7, 700_000].map(length =>
      Buffer.alloc(length, 'a\r\0\xff', 'latin1'),
    )
    const records = values.map(value => ({ key: null, value }))
    const lf = Buffer.from('\n')
    expect(await printed(valuePieces, records)).toEqual(
      Buffer.concat(values.flatMap(value => [value, lf])),
    )
  })

  test('a tombstone is an empty line', async () => {
    expect(String(await printed(valuePieces, [{ key: null, value: null }]))).toBe('\n')
  })

  test.each([
    ['%t %p %o %k %v', 'clicks 3 40 k v\n'],
    ['%T|%h|%%', '99|a=1,b=|%\n'],
    ['%v\\t\\n\\\\x\\', 'v\t\n\\x\\\n'],
    ['', '\n'],
  ])('format %j gives %j', async (format, expected) => {
    expect(String(await printed(formatPieces(format), [record]))).toBe(expected)
  })

  test.each(['%z', 'a%'])('format %j is refused', format => {
    expect(() => formatPieces(format)).toThrow(/means nothing/)
  })

  test('JSON keeps text as text and names other bytes', async () => {
    const bytes = Buffer.from([0xff, 0xfe])
    const lines = String(await printed(jsonPieces, [record, { key: null, value: bytes }]))
    expect(
      lines
        .trim()
        .split('\n')
        .map(line => JSON.parse(line)),
    ).toMatchObject([
      {
        topic: 'clicks',
        partition: 3,
        offset: 40,
        timestampMs: 99,
        key: 'k',
        value: 'v',
        headers: [
          ['a', '1'],
          ['b', null],
        ],
      },
      { offset: 41, key: null, value: { base64: bytes.toString('base64') }, headers: [] },
    ])
  })
})
