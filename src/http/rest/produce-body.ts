/**
 * The body of a REST Proxy v2 produce request becomes records. Nothing is parsed that is only to be stored: the bytes
 * of a JSON value are taken as they stand, so that numbers keep all their digits. Pure; dispatcher thread.
 *
 *   {"records": [{"key": …, "value": …, "partition": 0, "timestamp": 1700000000000, "headers": […]}]}
 *   headers      [{"name": "trace", "value": "YQ=="}]       values in base64
 *
 * json: key and value are any JSON; a key loses its insignificant white space, so that equal keys are equal bytes.
 * binary: base64 texts. null, or nothing, is a null in both.
 */
import { isUtf8 } from 'node:buffer'
import { noHeaders } from '../backend/record-sources.ts'
import { echoed, type HttpProblem } from '../problem.ts'
import { JsonScan, JsonScanError, requestDepthMax } from './json-scan.ts'
import type { EmbeddedFormat } from './record-text.ts'
import { RestCode, restProblem } from './rest-problem.ts'

export interface BodyRecord {
  key: Buffer | null
  value: Buffer | null
  headers: readonly (readonly [name: string, value: Buffer | null])[]
  /** -1: the time of the append. */
  timestampMs: number
  /** Null: by the key, or wherever keyless records go. */
  partition: number | null
}

/** Of one record. */
const headersMax = 1000
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/
const schemaFields = new Set(['key_schema', 'key_schema_id', 'value_schema', 'value_schema_id'])

/** @throws HttpProblem 400 for what is no JSON, 42205 for schemas, 42206 for what is no list of records */
export function parseProduceBody(body: Buffer, format: EmbeddedFormat): BodyRecord[] {
  if (!isUtf8(body)) throw restProblem(RestCode.badJson, 'the body is not UTF-8')
  try {
    return new ProduceBody(body, format).parse()
  } catch (error) {
    if (!(error instanceof JsonScanError)) throw error
    throw restProblem(RestCode.badJson, `the body is no JSON that can be taken: ${error.message}`)
  }
}

class ProduceBody {
  readonly #scan: JsonScan
  readonly #format: EmbeddedFormat
  #records: BodyRecord[] | null = null

  constructor(body: Buffer, format: EmbeddedFormat) {
    this.#scan = new JsonScan(body, requestDepthMax)
    this.#format = format
  }

  parse(): BodyRecord[] {
    const scan = this.#scan
    if (scan.peek() !== 0x7b) throw payload('the body must be an object with "records"')
    scan.object(name => this.#field(name))
    scan.end()
    const records = this.#records
    if (records === null) throw payload('"records" is missing')
    if (records.length === 0) throw payload('"records" is empty: give at least one')
    return records
  }

  #field(name: string): void {
    const scan = this.#scan
    if (name === 'records') {
      const records: BodyRecord[] = []
      if (scan.peek() !== 0x5b) throw payload('"records" must be an array')
      scan.array(() => {
        records.push(this.#record(records.length))
      })
      this.#records = records
    } else if (schemaFields.has(name)) {
      if (!isNull(scan.raw())) {
        const cure = 'there is no schema registry: leave it out, and send JSON or base64'
        throw restProblem(RestCode.noSchemas, `${name}: ${cure}`)
      }
    } else throw payload(`unknown field ${echoed(name)}; known is "records"`)
  }

  #record(index: number): BodyRecord {
    const record: BodyRecord = {
      key: null,
      value: null,
      headers: noHeaders as BodyRecord['headers'],
      timestampMs: -1,
      partition: null,
    }
    const where = `records[${index}]`
    if (this.#scan.peek() !== 0x7b) throw payload(`${where} must be an object with "value"`)
    this.#scan.object(name => this.#recordField(record, name, `${where}.${name}`))
    return record
  }

  #recordField(record: BodyRecord, name: string, where: string): void {
    const scan = this.#scan
    if (name === 'value') record.value = this.#content(where)
    else if (name === 'key') {
      const key = this.#content(where)
      record.key = key !== null && this.#format === 'json' ? compacted(key) : key
    } else if (name === 'partition') record.partition = wholeNumber(scan.raw(), where, 2 ** 31 - 1)
    else if (name === 'timestamp') {
      record.timestampMs = wholeNumber(scan.raw(), where, Number.MAX_SAFE_INTEGER) ?? -1
    } else if (name === 'headers') record.headers = this.#headers(where)
    else {
      const known = 'key, value, partition, timestamp, headers'
      throw payload(`${echoed(where)}: unknown field; known are ${known}`)
    }
  }

  #content(where: string): Buffer | null {
    const raw = this.#scan.raw()
    if (isNull(raw)) return null
    return this.#format === 'json' ? raw : fromBase64(raw, where)
  }

  #headers(where: string): BodyRecord['headers'] {
    const scan = this.#scan
    const headers: (readonly [string, Buffer | null])[] = []
    if (scan.peek() !== 0x5b) {
      if (isNull(scan.raw())) return headers
      throw payload(`${where} must be an array of {"name", "value"}`)
    }
    scan.array(() => {
      let name: string | null = null
      let value: Buffer | null = null
      const at = `${where}[${headers.length}]`
      if (scan.peek() !== 0x7b) throw payload(`${at} must be {"name": …, "value": base64}`)
      scan.object(field => {
        const raw = scan.raw()
        if (field === 'value') value = isNull(raw) ? null : fromBase64(raw, `${at}.value`)
        else if (field === 'name' || field === 'key') name = textOf(raw)
        else throw payload(`${at}: unknown field ${echoed(field)}; known are name, value`)
      })
      if (name === null) throw payload(`${at} needs a "name", a text`)
      headers.push([name, value])
      if (headers.length > headersMax) throw payload(`${where}: more than ${headersMax} headers`)
    })
    return headers
  }
}

function isNull(raw: Buffer): boolean {
  return raw.length === 4 && raw.toString('latin1') === 'null'
}

function textOf(raw: Buffer): string | null {
  if (raw[0] !== 0x22) return null
  const isPlain = !raw.includes(0x5c)
  return isPlain ? raw.toString('utf8', 1, raw.length - 1) : (JSON.parse(raw.toString()) as string)
}

/** Null for null. */
function wholeNumber(raw: Buffer, where: string, max: number): number | null {
  if (isNull(raw)) return null
  const number = Number(raw.toString())
  if (raw[0] !== 0x22 && Number.isSafeInteger(number) && number >= 0 && number <= max) return number
  throw payload(`${where} must be a whole number from 0 to ${max}`)
}

function fromBase64(raw: Buffer, where: string): Buffer {
  const text = textOf(raw)
  if (text === null || !base64.test(text)) {
    throw payload(
      `${where} must be a base64 text; for JSON send application/vnd.kafka.json.v2+json`,
    )
  }
  return Buffer.from(text, 'base64')
}

/** Without the white space between tokens. */
function compacted(json: Buffer): Buffer {
  const first = json[0]
  // Only arrays and objects have room for any.
  if (first !== 0x5b && first !== 0x7b) return json
  const kept = Buffer.allocUnsafe(json.length)
  let size = 0
  let inText = false
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]
    if (!inText && (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d)) continue
    kept[size++] = byte
    if (byte === 0x22) inText = !inText
    else if (inText && byte === 0x5c) kept[size++] = json[++i]
  }
  return kept.subarray(0, size)
}

function payload(message: string): HttpProblem {
  return restProblem(RestCode.badPayload, message)
}
