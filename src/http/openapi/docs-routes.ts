/**
 * /openapi.json, and /docs, a page that shows it and lets one try it. The page's parts come from the package
 * @fastify/swagger-ui and from nowhere else; its policy forbids everything but this listener. Dispatcher thread.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { HttpProblem } from '../problem.ts'
import type { ListedRoute } from './route-list.ts'

const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <title>odradek: HTTP API</title>
    <link rel="stylesheet" href="/docs/swagger-ui.css">
    <link rel="icon" href="/docs/favicon-32x32.png">
  </head>
  <body>
    <div id="api"></div>
    <script src="/docs/swagger-ui-bundle.js"></script>
    <script src="/docs/start.js"></script>
  </body>
</html>
`

/** No validator: the default one is a service on the internet. */
const startScript = `SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#api',
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
})
`

const files = new Map([
  ['swagger-ui.css', 'text/css; charset=utf-8'],
  ['swagger-ui-bundle.js', 'text/javascript; charset=utf-8'],
  ['favicon-32x32.png', 'image/png'],
])

/** @param routes those of the document; the list may still grow */
export function registerDocs(
  app: FastifyInstance,
  routes: readonly ListedRoute[],
  version: string,
): void {
  let document: Promise<string> | null = null

  app.get('/openapi.json', async (request, reply) => {
    document ??= import('./document.ts').then(made => made.openApiDocument(routes, version))
    try {
      return send(request, reply, 'application/json; charset=utf-8', await document)
    } catch (error) {
      document = null
      throw error
    }
  })

  app.get('/docs', (request, reply) => send(request, reply, 'text/html; charset=utf-8', page))
  app.get('/docs/', (_request, reply) => reply.redirect('/docs'))
  app.get('/docs/start.js', (request, reply) =>
    send(request, reply, 'text/javascript; charset=utf-8', startScript),
  )
  for (const [name, type] of files) {
    app.get(`/docs/${name}`, async (request, reply) => {
      return send(request, reply, type, await packageFile(name))
    })
  }
}

/** Read each time: few people look, and a browser keeps it. */
async function packageFile(name: string): Promise<Buffer> {
  try {
    const root = import.meta.resolve('@fastify/swagger-ui/package.json')
    return await readFile(new URL(`static/${name}`, root))
  } catch (error) {
    const why = `/docs is not installed (${(error as Error).message}); /openapi.json is there`
    throw new HttpProblem(404, why)
  }
}

function send(
  request: FastifyRequest,
  reply: FastifyReply,
  type: string,
  content: string | Buffer,
): FastifyReply {
  const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`
  reply.headers({
    'content-security-policy': contentSecurityPolicy,
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'cache-control': 'no-cache',
    etag,
  })
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  return reply.type(type).send(content)
}
