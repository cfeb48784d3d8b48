/**
 * How the records of a read are written, by the Accept header. Dispatcher thread.
 *
 *   application/json                      [ record, ... ]     as src/http/tail/record-json.ts shows one
 *   application/vnd.kafka.json.v2+json    the same, values as the JSON they hold
 *   application/vnd.kafka.binary.v2+json  the same, keys and values in base64
 *   application/x-ndjson                  a record a line
 *   application/octet-stream              length-prefixed, numbers big-endian, -1 is the length of null:
 *
 *   | int32 bytes that follow | int64 offset | int64 timestamp | int32 length, key | int32 length, value
 *     | int32 header count | int32 length, name | int32 length, value | ...
 */
import type { RecordCursor } from '../../client/record-cursor.ts'
import { HttpProblem } from '../problem.ts'
import { type Encoding, recordJson, recordStart } from '../tail/record-json.ts'
import type { AnswerWriter } from './answer-writer.ts'

export interface RecordFormat {
  readonly contentType: string
  begin(writer: AnswerWriter): void
  /** @param index of the record in the answer */
  record(writer: AnswerWriter, cursor: RecordCursor, index: number): void
  end(writer: AnswerWriter): void
}

/** In the order of preference among those that a client likes alike. */
export const formatTypes = [
  'application/json',
  'application/x-ndjson',
  'application/octet-stream',
  'application/vnd.kafka.json.v2+json',
  'application/vnd.kafka.binary.v2+json',
  'application/vnd.kafka.v2+json',
] as const
type FormatType = (typeof formatTypes)[number]

/** What a media type says about the encoding of keys and values. */
const encodingOfType: ReadonlyMap<FormatType, Encoding> = new Map([
  ['application/vnd.kafka.json.v2+json', 'json'],
  ['application/vnd.kafka.binary.v2+json', 'base64'],
])

/**
 * @param accept the Accept header
 * @param encoding wanted by the query; wins over the media type
 * @throws HttpProblem 406
 */
export function formatFor(
  accept: string | undefined,
  encoding: Encoding | undefined,
  topic: string,
  partition: number,
): RecordFormat {
  const type = preferred(accept ?? '*/*')
  if (type === null) {
    throw new HttpProblem(406, `records can be sent as ${formatTypes.join(', ')}`, 40601)
  }
  if (type === 'application/octet-stream') return binaryFormat
  const start = recordStart(topic, partition)
  const shown = encoding ?? encodingOfType.get(type) ?? 'utf8'
  if (type === 'application/x-ndjson') return lineFormat(start, shown)
  return arrayFormat(type === 'application/json' ? `${type}; charset=utf-8` : type, start, shown)
}

/** RFC 9110, 12.5.1, of the types above: the one with the highest q; null when none is accepted. */
function preferred(accept: string): FormatType | null {
  let best: FormatType | null = null
  let bestQuality = 0
  const ranges = accept.toLowerCase().split(',').slice(0, 64).map(parseRange)
  for (const type of formatTypes) {
    const quality = qualityOf(type, ranges)
    if (quality <= bestQuality) continue
    best = type
    bestQuality = quality
  }
  return best
}

interface Range {
  readonly range: string
  readonly quality: number
}

function parseRange(text: string): Range {
  const [range, ...parameters] = text.split(';').map(part => part.trim())
  const weight = parameters.find(parameter => parameter.startsWith('q='))
  const quality = weight === undefined ? 1 : Number(weight.slice(2))
  return { range, quality: quality >= 0 && quality <= 1 ? quality : 0 }
}

function qualityOf(type: FormatType, ranges: readonly Range[]): number {
  for (const wanted of [type, 'application/*', '*/*']) {
    const found = ranges.find(({ range }) => range === wanted)
    if (found !== undefined) return found.quality
  }
  return 0
}

function arrayFormat(contentType: string, start: string, encoding: Encoding): RecordFormat {
  return {
    contentType,
    begin: writer => writer.text('['),
    record: (writer, cursor, index) => {
      if (index > 0) writer.text(',')
      writer.text(recordJson(start, cursor, encoding))
    },
    end: writer => writer.text(']'),
  }
}

function lineFormat(start: string, encoding: Encoding): RecordFormat {
  return {
    contentType: 'application/x-ndjson',
    begin: () => {},
    record: (writer, cursor) => writer.text(`${recordJson(start, cursor, encoding)}\n`),
    end: () => {},
  }
}

const binaryFormat: RecordFormat = {
  contentType: 'application/octet-stream',
  begin: () => {},
  record: (writer, cursor) => {
    const start = writer.pos
    writer.int32(0)
    writer.int64(cursor.offset)
    writer.int64(cursor.timestampMs)
    writeBytes(writer, cursor.key())
    writeBytes(writer, cursor.value())
    const headers = cursor.headers()
    writer.int32(headers.length)
    for (const [name, value] of headers) {
      writeBytes(writer, Buffer.from(name))
      writeBytes(writer, value)
    }
    writer.setInt32(start, writer.pos - start - 4)
  },
  end: () => {},
}

function writeBytes(writer: AnswerWriter, bytes: Uint8Array | null): void {
  writer.int32(bytes === null ? -1 : bytes.length)
  if (bytes !== null) writer.bytes(bytes)
}
