/**
 * The page at /: a few files that a browser needs nothing else for, read once, answered from memory. `GET /` is JSON
 * for whoever prefers that. Dispatcher thread.
 *
 *   GET /            text/html: the page     application/json: the same as /v1/status
 *   GET /page/NAME   its style, its scripts, its icon
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { prefersJson } from './prefers-json.ts'
import type { StatusBody } from './status-routes.ts'

const directory = new URL('page/', import.meta.url)
const indexFile = 'index.html'

const types = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.svg', 'image/svg+xml'],
])

/** Nothing from elsewhere, nothing inline, no text that becomes markup, no frame around it. */
const securityHeaders = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}

interface PageFile {
  readonly bytes: Buffer
  readonly type: string
  readonly tag: string
}

export function registerPageRoutes(app: FastifyInstance, sendStatus: StatusBody): void {
  const files = readPage()
  for (const [name, file] of files) {
    if (name === indexFile) continue
    app.get(`/page/${name}`, (request, reply) => sendFile(request, reply, file))
  }
  const index = files.get(indexFile) as PageFile
  app.get('/', async (request, reply) => {
    reply.header('vary', 'accept')
    if (prefersJson(request.headers.accept)) return await sendStatus(reply)
    return sendFile(request, reply, index)
  })
}

function readPage(): Map<string, PageFile> {
  const files = new Map<string, PageFile>()
  for (const name of readdirSync(directory)) {
    const type = types.get(extname(name))
    if (type === undefined) continue
    const bytes = readFileSync(new URL(name, directory))
    const hash = createHash('sha256').update(bytes).digest('base64url')
    files.set(name, { bytes, type, tag: `"${hash.slice(0, 22)}"` })
  }
  return files
}

/** A browser asks again each time, and gets the bytes only when another version of the broker has others. */
function sendFile(request: FastifyRequest, reply: FastifyReply, file: PageFile): FastifyReply {
  reply.headers({ ...securityHeaders, etag: file.tag, 'cache-control': 'no-cache' })
  if (request.headers['if-none-match'] === file.tag) return reply.code(304).send()
  return reply.type(file.type).send(file.bytes)
}
