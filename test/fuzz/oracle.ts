/**
 * What a broker owes to bytes: an answer that its own schema can read, or the end of the connection. Pure.
 *
 * Whether bytes are a request is judged by the same readers as the broker's, so that a request that can be read and is
 * not answered is a failure: something behind the reader has stumbled over it. The readers themselves are compared with
 * Kafka's definitions elsewhere (test/protocol).
 */
import { ProtocolError, Reader } from '../../src/protocol/bytes.ts'
import { codec } from '../../src/protocol/compile.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { readRequestHeader, readResponseHeader } from '../../src/protocol/headers.ts'
import { schemas } from '../protocol/schemas.ts'
import type { AnySchema } from './valid.ts'

export interface Owed {
  readonly api: AnySchema
  /** Of the answer. */
  readonly version: number
  readonly correlationId: number
}

export interface Expectation {
  /** In this order. */
  readonly answers: readonly Owed[]
  /** The broker ends the connection; answers before that may be lost. */
  readonly closes: boolean
  /** It may end the connection: it has no other way to refuse acks=0. */
  readonly mayClose: boolean
  /** It waits for the rest of a frame. */
  readonly waits: boolean
  /** Some answer may take as long as the request says. */
  readonly mayPark: boolean
}

const byKey = new Map(schemas.map(schema => [schema.key, schema]))
const isFlexible = (key: number, version: number) => {
  const api = byKey.get(key)
  return api === undefined ? null : version >= api.flexible
}
const apiVersionsKey = 18
const produceKey = 0
/** Fetch, JoinGroup, SyncGroup; Produce waits for a flush at most as long as the request says. */
const parking = new Set([0, 1, 11, 14])

/** `frameBytesMax`: the broker's socket.request.max.bytes. */
export function expectationOf(bytes: Buffer, frameBytesMax: number): Expectation {
  const answers: Owed[] = []
  const made = { closes: false, mayClose: false, waits: false, mayPark: false }
  for (let at = 0; at < bytes.length && !made.closes; ) {
    const size = bytes.length - at < 4 ? 0 : bytes.readInt32BE(at)
    if (size < 0 || size > frameBytesMax) {
      made.closes = true
      break
    }
    if (at + 4 + size > bytes.length || bytes.length - at < 4) {
      made.waits = true
      break
    }
    expectFrame(bytes.subarray(at + 4, at + 4 + size), answers, made)
    at += 4 + size
  }
  return { answers, ...made }
}

interface Flags {
  closes: boolean
  mayClose: boolean
  mayPark: boolean
}

function expectFrame(frame: Buffer, answers: Owed[], made: Flags): void {
  const reader = new Reader(frame)
  try {
    const { apiKey, apiVersion, correlationId } = readRequestHeader(reader, isFlexible)
    const api = byKey.get(apiKey)
    const isServed =
      api !== undefined && apiVersion >= api.versions[0] && apiVersion <= api.versions[1]
    if (!isServed) {
      if (apiKey === apiVersionsKey && api !== undefined) {
        answers.push({ api, version: 0, correlationId })
      } else made.closes = true
      return
    }
    const request = codec(api, apiVersion).request.read(reader)
    made.mayPark ||= parking.has(apiKey)
    if (apiKey === produceKey && (request as { acks: number }).acks === 0) made.mayClose = true
    else answers.push({ api, version: apiVersion, correlationId })
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    made.closes = true
  }
}

/** Why this is not a right answer, or null. */
export function faultIn(frame: Buffer, { api, version, correlationId }: Owed): string | null {
  const reader = new Reader(frame)
  try {
    const answered = readResponseHeader(reader, api, version)
    if (answered !== correlationId) return `correlation id ${answered}, not ${correlationId}`
    const response = codec(api, version).response.read(reader)
    if (reader.pos !== frame.length) return `${frame.length - reader.pos} spare bytes`
    return errorIn(response)
  } catch (error) {
    return `not readable: ${(error as Error).message}`
  }
}

const codes = new Set<number>(Object.values(Errors))

/** Codes that Kafka does not have, and the one that stands for a mistake of the broker. */
function errorIn(value: unknown): string | null {
  if (value === null || typeof value !== 'object' || value instanceof Uint8Array) return null
  const code = (value as { errorCode?: unknown }).errorCode
  if (typeof code === 'number' && (code === Errors.UNKNOWN_SERVER_ERROR || !codes.has(code))) {
    return `error ${code} (${errorName(code)})`
  }
  for (const inner of Object.values(value)) {
    const found = errorIn(inner)
    if (found !== null) return found
  }
  return null
}
