/**
 * Bounds of JSON bodies, checked before anything is parsed. Dispatcher thread, so a body is small: what may be large
 * has a type of its own (octet-stream, NDJSON).
 */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { HttpProblem } from './problem.ts'
import type { RequestBodies } from './raw/request-bodies.ts'

const jsonBytesMax = 1024 * 1024
const jsonDepthMax = 32

/** Makes `application/json` the only body type that is parsed by default: text/plain can be sent by any web page. */
export function registerJsonBody(app: FastifyInstance, bodies: RequestBodies): void {
  app.removeAllContentTypeParsers()
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', async (request: FastifyRequest) => {
    const text = await readText(request, bodies)
    if (jsonDepth(text) > jsonDepthMax) {
      throw new HttpProblem(400, `JSON body is nested deeper than ${jsonDepthMax} levels`)
    }
    return await new Promise<unknown>((resolve, reject) => {
      void parse(request, text, (error, body) => (error ? reject(error) : resolve(body)))
    })
  })
}

async function readText(request: FastifyRequest, bodies: RequestBodies): Promise<string> {
  const body = await bodies.read(request.raw, jsonBytesMax)
  try {
    return body.bytes.toString()
  } finally {
    body.release()
  }
}

/** @returns the deepest nesting of arrays and objects, found without parsing; anything for text that is not JSON. */
function jsonDepth(text: string): number {
  let depth = 0
  let deepest = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (inString) {
      if (code === 0x5c) i++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x5b || code === 0x7b) deepest = Math.max(deepest, ++depth)
    else if (code === 0x5d || code === 0x7d) depth--
  }
  return deepest
}
