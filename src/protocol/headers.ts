/**
 * Request header v1/v2 and response header v0/v1. Any thread.
 *
 *   request   | api key i16 | api version i16 | correlation id i32 | client id nullable string | tags |
 *   response  | correlation id i32 | tags |
 *
 * The client id is never compact. Tags only where the version is flexible; in ApiVersions answers never, so that any
 * client can read them (KIP-511).
 */
import { ProtocolError, type Reader } from './reader.ts'
import type { ApiSchema } from './schema.ts'
import type { Writer } from './writer.ts'

export interface RequestHeader {
  apiKey: number
  apiVersion: number
  correlationId: number
  clientId: string | null
}

/**
 * Whether a version of an API is flexible; null when the API is unknown, so that nothing behind the key can be trusted.
 */
export type FlexibleLookup = (apiKey: number, apiVersion: number) => boolean | null

type AnySchema = ApiSchema<never, never>
const apiVersionsKey = 18

export function newRequestHeader(): RequestHeader {
  return { apiKey: 0, apiVersion: 0, correlationId: 0, clientId: null }
}

/**
 * Reads a header into `into` and leaves the reader at the body. Of an unknown API it reads key, version and correlation
 * id only. Throws ProtocolError on a malformed header, after key, version and correlation id have been filled in.
 */
export function readRequestHeader(
  r: Reader,
  isFlexible: FlexibleLookup,
  into: RequestHeader = newRequestHeader(),
): RequestHeader {
  into.clientId = null
  into.apiKey = r.int16()
  into.apiVersion = r.int16()
  into.correlationId = r.int32()
  const flexible = isFlexible(into.apiKey, into.apiVersion)
  if (flexible === null) return into
  const clientIdAt = r.pos
  into.clientId = r.nullableString()
  const { clientIdBytesMax } = r.limits
  if (r.pos - clientIdAt > clientIdBytesMax + 2)
    throw new ProtocolError(`client id too long (id.max.bytes=${clientIdBytesMax})`)
  if (flexible) r.skipTags()
  return into
}

/** Also for versions the schema does not cover: a client may ask for any. */
export function isFlexibleVersion(api: AnySchema, version: number): boolean {
  return version >= api.flexible
}

export function writeRequestHeader(
  w: Writer,
  api: AnySchema,
  version: number,
  correlationId: number,
  clientId: string | null,
): void {
  w.int16(api.key)
  w.int16(version)
  w.int32(correlationId)
  w.nullableString(clientId)
  if (isFlexibleVersion(api, version)) w.uvarint(0)
}

export function writeResponseHeader(
  w: Writer,
  api: AnySchema,
  version: number,
  correlationId: number,
): void {
  w.int32(correlationId)
  if (hasResponseTags(api, version)) w.uvarint(0)
}

/** Returns the correlation id. */
export function readResponseHeader(r: Reader, api: AnySchema, version: number): number {
  const correlationId = r.int32()
  if (hasResponseTags(api, version)) r.skipTags()
  return correlationId
}

function hasResponseTags(api: AnySchema, version: number): boolean {
  return api.key !== apiVersionsKey && isFlexibleVersion(api, version)
}
