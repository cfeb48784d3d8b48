/**
 * One record as JSON text in one line, in the encoding that a tail asked for. Dispatcher thread.
 *
 *   {"topic":"orders","partition":0,"offset":"17","timestamp":1763765000000,"key":"k","value":"v","headers":[]}
 *
 * Nothing is changed in silence: bytes that the encoding cannot show come in base64, in a field of another name.
 */
import { isUtf8 } from 'node:buffer'
import type { RecordCursor } from '../../client/record-cursor.ts'

/** How keys and values are shown: as text, values as the JSON they hold, or in base64. */
export const encodings = ['utf8', 'json', 'base64'] as const
export type Encoding = (typeof encodings)[number]

/** @param start what all records of a partition begin with: `recordStart()` */
export function recordJson(start: string, cursor: RecordCursor, encoding: Encoding): string {
  const key = field('key', cursor.key(), encoding === 'json' ? 'utf8' : encoding)
  const value = field('value', cursor.value(), encoding)
  const headers = headersJson(cursor, encoding === 'json' ? 'utf8' : encoding)
  const { offset, timestampMs } = cursor
  return `${start}"offset":"${offset}","timestamp":${timestampMs},${key},${value},"headers":${headers}}`
}

export function recordStart(topic: string, partition: number): string {
  return `{"topic":${JSON.stringify(topic)},"partition":${partition},`
}

function field(name: string, bytes: Buffer | null, encoding: Encoding): string {
  if (bytes === null) return `"${name}":null`
  if (encoding === 'base64') return `"${name}":"${bytes.toString('base64')}"`
  if (!isUtf8(bytes)) return `"${name}_base64":"${bytes.toString('base64')}"`
  const text = bytes.toString('utf8')
  if (encoding === 'utf8') return `"${name}":${JSON.stringify(text)}`
  return isJson(text) ? `"${name}":${onOneLine(text)}` : `"${name}_text":${JSON.stringify(text)}`
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** In valid JSON a line break can only stand between tokens: numbers keep every digit they were written with. */
function onOneLine(json: string): string {
  return json.replaceAll(/[\r\n]/g, ' ')
}

function headersJson(cursor: RecordCursor, encoding: Encoding): string {
  const headers = cursor.headers()
  if (headers.length === 0) return '[]'
  const shown = headers.map(([name, value]) => {
    return `{"name":${JSON.stringify(name)},${field('value', value, encoding)}}`
  })
  return `[${shown.join(',')}]`
}
