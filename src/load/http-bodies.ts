/** The request bodies of the HTTP produce routes: kinds, content types, bytes. Pure. */
import { jsonMessageBytes, messageBytes } from './message-text.ts'

/** The first is one record a request; `lines` and `ndjson` one a line; the last two are the REST Proxy's. */
export const bodyKinds = ['octet-stream', 'lines', 'ndjson', 'rest-json', 'rest-binary'] as const
export type BodyKind = (typeof bodyKinds)[number]

const contentTypes: Readonly<Record<BodyKind, string>> = {
  'octet-stream': 'application/octet-stream',
  lines: 'text/plain; format=lines',
  ndjson: 'application/x-ndjson',
  'rest-json': 'application/vnd.kafka.json.v2+json',
  'rest-binary': 'application/vnd.kafka.binary.v2+json',
}

export function contentTypeOf(kind: BodyKind): string {
  return contentTypes[kind]
}

/**
 * A body with `count` records of `recordBytes` each, as the broker stores them. `octet-stream` holds one.
 * @param seed other bytes for another seed
 */
export function bodyOf(kind: BodyKind, count: number, recordBytes: number, seed: number): Buffer {
  const isJson = kind === 'ndjson' || kind === 'rest-json'
  const message = isJson ? jsonMessageBytes : messageBytes
  const records = Array.from({ length: count }, (_, i) => message(recordBytes, seed * count + i))
  if (kind === 'octet-stream') return records[0]!
  if (kind === 'lines' || kind === 'ndjson') {
    return Buffer.from(`${records.map(record => record.toString('latin1')).join('\n')}\n`, 'latin1')
  }
  const encoding = kind === 'rest-json' ? 'latin1' : 'base64'
  const values = records.map(record => {
    const text = record.toString(encoding)
    return `{"value":${kind === 'rest-json' ? text : `"${text}"`}}`
  })
  return Buffer.from(`{"records":[${values.join(',')}]}`, 'latin1')
}
