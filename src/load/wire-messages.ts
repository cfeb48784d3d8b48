/** One request or response as a whole frame, on the broker's own codecs: the other direction of the same schemas. */
import { createConnection } from 'node:net'
import { Reader, Writer } from '../protocol/bytes.ts'
import { codec } from '../protocol/compile.ts'
import { readResponseHeader, writeRequestHeader, writeResponseHeader } from '../protocol/headers.ts'
import type { ApiSchema } from '../protocol/schema.ts'

const clientId = 'odradek-bench'
/** Frames are copied out at once, so one writer serves all. */
const writer = new Writer()

/** Encodes a request frame, its 4-byte size included. The correlation id stands at byte 8 of every frame. */
export function encodeRequest<Req, Res>(
  schema: ApiSchema<Req, Res>,
  version: number,
  correlationId: number,
  request: Req,
): Buffer {
  writer.begin()
  writeRequestHeader(writer, schema, version, correlationId, clientId)
  codec(schema, version).request.write(writer, request)
  return Buffer.concat(writer.end())
}

/** Encodes a response frame, its 4-byte size included. */
export function encodeResponse<Req, Res>(
  schema: ApiSchema<Req, Res>,
  version: number,
  correlationId: number,
  response: Res,
): Buffer {
  writer.begin()
  writeResponseHeader(writer, schema, version, correlationId)
  codec(schema, version).response.write(writer, response)
  return Buffer.concat(writer.end())
}

/** Decodes a response from `frame` (size field included); `records` in it are views of the frame. */
export function decodeResponse<Req, Res>(
  schema: ApiSchema<Req, Res>,
  version: number,
  frame: Uint8Array,
): { correlationId: number; response: Res } {
  const reader = new Reader().reset(frame, 4)
  const correlationId = readResponseHeader(reader, schema, version)
  return { correlationId, response: codec(schema, version).response.read(reader) }
}

/** Sends one request on a connection of its own and resolves to the answer; for set-up, not for load. */
export function requestOnce<Req, Res>(
  address: { readonly host: string; readonly port: number },
  schema: ApiSchema<Req, Res>,
  version: number,
  request: Req,
): Promise<Res> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ ...address, timeout: 10_000 })
    let bytes = Buffer.alloc(0)
    socket.on('connect', () => socket.write(encodeRequest(schema, version, 1, request)))
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.length < 4 || bytes.length < 4 + bytes.readInt32BE(0)) return
      resolve(decodeResponse(schema, version, bytes).response)
      socket.destroy()
    })
    socket.on('timeout', () => socket.destroy(new Error(`no answer to ${schema.name}`)))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the server hung up on ${schema.name}`)))
  })
}
