/**
 * What goes along with raw records: key, partition, time, headers, each by query or by request header, the same thing
 * not by both. Pure functions over a request's parts. Dispatcher thread.
 */
import { z } from 'zod'
import type { Acks, IncomingRecord } from '../backend/log-backend.ts'
import { noHeaders } from '../backend/record-sources.ts'
import { echoed, HttpProblem } from '../problem.ts'

const base64 = z.base64().max(64 * 1024)
const partition = z.string().regex(/^\d{1,6}$/, 'must be the number of a partition')
const timestamp = z.string().regex(/^\d{1,16}$/, 'must be milliseconds since 1970')
const acksWord = z.enum(['all', '-1', '1', '0'])
const headerText = z.string().regex(/^[^:]+:/, 'must be NAME:VALUE')

export const produceQuery = z.strictObject({
  acks: acksWord.default('all').meta({
    description: 'When to answer: flushed to the disk (all), written (1), or without knowing (0).',
  }),
  key: z.string().optional().meta({ description: 'Key of the records, as UTF-8.' }),
  key_base64: base64.optional().meta({ description: 'Key of the records, for any bytes.' }),
  partition: partition.optional().meta({ description: 'Default: by the key, or spread.' }),
  timestamp: timestamp.optional().meta({
    description: 'Milliseconds since 1970. Default: the time of the append.',
  }),
  header: z
    .union([headerText, z.array(headerText).max(64)])
    .optional()
    .meta({ description: 'A header of the records, NAME:VALUE. May be given several times.' }),
  tombstone: z.enum(['true', 'false']).optional().meta({
    description: 'true: the value is null, which deletes the key from a compacted topic.',
  }),
})

export type ProduceQuery = z.output<typeof produceQuery>

/** The request headers that mean the same. For the OpenAPI document; `optionsOf` reads them. */
export const produceHeaders = z.object({
  'x-odradek-key': z.string().optional().meta({
    description: 'Key of the records: the bytes of the header as they are sent.',
  }),
  'x-odradek-key-base64': base64.optional().meta({ description: 'Key of the records.' }),
  'x-odradek-partition': partition.optional(),
  'x-odradek-timestamp': timestamp.optional(),
})

/** `X-Odradek-Header-Trace: 7` is a record header `trace`: proxies change the case, so it is always the lower one. */
const headerPrefix = 'x-odradek-header-'

export interface RecordOptions {
  readonly acks: Acks
  readonly key: Buffer | null
  /** Null: by the key, or spread. */
  readonly partition: number | null
  /** -1: the time of the append. */
  readonly timestampMs: number
  readonly headers: IncomingRecord['headers']
  readonly isTombstone: boolean
}

const acksOf: Readonly<Record<ProduceQuery['acks'], Acks>> = { all: -1, '-1': -1, '1': 1, '0': 0 }

/**
 * @param rawHeaders names and values in turn, as node gives them
 * @throws HttpProblem 400
 */
export function optionsOf(query: ProduceQuery, rawHeaders: readonly string[]): RecordOptions {
  const sent = ownHeaders(rawHeaders)
  const plainKey = either('key', query.key, sent.get('key'))
  const packedKey = either('key_base64', query.key_base64, sent.get('key-base64'))
  if (plainKey !== undefined && packedKey !== undefined) {
    throw new HttpProblem(400, 'a key and a key in base64: give one of them')
  }
  const partitionText = either('partition', query.partition, sent.get('partition'))
  const timeText = either('timestamp', query.timestamp, sent.get('timestamp'))
  return {
    acks: acksOf[query.acks],
    key: keyOf(plainKey, query.key !== undefined, packedKey),
    partition: partitionText === undefined ? null : numberOf('partition', partition, partitionText),
    timestampMs: timeText === undefined ? -1 : numberOf('timestamp', timestamp, timeText),
    headers: recordHeaders(query.header, rawHeaders),
    isTombstone: query.tombstone === 'true',
  }
}

/** Our own request headers but those of records, without `x-odradek-`. */
function ownHeaders(rawHeaders: readonly string[]): Map<string, string> {
  const own = new Map<string, string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase()
    if (!name.startsWith('x-odradek-') || name.startsWith(headerPrefix)) continue
    const rest = name.slice('x-odradek-'.length)
    if (!['key', 'key-base64', 'partition', 'timestamp'].includes(rest)) {
      throw new HttpProblem(400, `no such header: ${echoed(rawHeaders[i])}`)
    }
    if (own.has(rest)) throw new HttpProblem(400, `header ${echoed(rawHeaders[i])} is there twice`)
    own.set(rest, rawHeaders[i + 1])
  }
  return own
}

function either(name: string, query: string | undefined, header: string | undefined) {
  if (query !== undefined && header !== undefined) {
    throw new HttpProblem(400, `${name} is given by the query and by a header: give one of them`)
  }
  return query ?? header
}

function keyOf(plain: string | undefined, isQuery: boolean, packed: string | undefined) {
  if (packed !== undefined) {
    if (base64.safeParse(packed).success) return Buffer.from(packed, 'base64')
    throw new HttpProblem(400, 'the key is not valid base64')
  }
  if (plain === undefined) return null
  // Node shows the bytes of a header as latin1.
  return Buffer.from(plain, isQuery ? 'utf8' : 'latin1')
}

function numberOf(name: string, schema: z.ZodString, text: string): number {
  const number = Number(text)
  if (schema.safeParse(text).success && Number.isSafeInteger(number)) return number
  throw new HttpProblem(400, `${name} ${echoed(text)} is not a number that it can be`)
}

function recordHeaders(
  ofQuery: ProduceQuery['header'],
  rawHeaders: readonly string[],
): RecordOptions['headers'] {
  const headers: [name: string, value: Buffer][] = []
  for (const text of typeof ofQuery === 'string' ? [ofQuery] : (ofQuery ?? [])) {
    const colon = text.indexOf(':')
    headers.push([text.slice(0, colon), Buffer.from(text.slice(colon + 1))])
  }
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i].toLowerCase()
    if (!name.startsWith(headerPrefix)) continue
    if (name === headerPrefix) throw new HttpProblem(400, 'a record header without a name')
    headers.push([name.slice(headerPrefix.length), Buffer.from(rawHeaders[i + 1], 'latin1')])
  }
  return headers.length === 0 ? noHeaders : headers
}
