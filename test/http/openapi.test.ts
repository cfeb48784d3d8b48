/** /openapi.json and /docs of a real listener: complete, consistent, and without anything from elsewhere. */
import { describe, expect, test } from 'vitest'
import { sharedRaw } from './raw/raw-kit.ts'

const raw = sharedRaw()

interface Operation {
  readonly summary?: string
  readonly tags?: readonly string[]
  readonly parameters?: readonly Parameter[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: object }> }
  readonly responses: Record<string, { readonly description?: string }>
}

interface Parameter {
  readonly in: string
  readonly name: string
  readonly required?: boolean
  readonly schema: { readonly enum?: readonly string[]; readonly default?: unknown }
}

interface Document {
  readonly openapi: string
  readonly info: { readonly version: string }
  readonly tags: readonly { readonly name: string }[]
  readonly paths: Record<string, Record<string, Operation>>
  readonly components: { readonly schemas: Record<string, unknown> }
}

async function document(): Promise<Document> {
  return (await raw.call('/openapi.json')).json as unknown as Document
}

function operationsOf({ paths }: Document) {
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method, operation })),
  )
}

describe('the document', () => {
  test('is OpenAPI 3.1 and holds the routes', async () => {
    const doc = await document()
    expect(doc.openapi).toBe('3.1.0')
    const names = operationsOf(doc).map(({ path, method }) => `${method.toUpperCase()} ${path}`)
    expect(names).toEqual(
      expect.arrayContaining([
        'POST /topics/{topic}',
        'POST /topics/{topic}/partitions/{partition}',
        'GET /topics/{topic}/partitions/{partition}/records',
        'GET /healthz',
        'GET /readyz',
        'GET /metrics',
        'GET /v1/groups',
        'GET /v1/groups/{group}',
        'POST /v1/logs/{topic}/{partition}/recover',
        'GET /topics',
        'POST /consumers/{group}',
      ]),
    )
  })

  test('says of each operation what it does, takes and answers', async () => {
    const doc = await document()
    const tags = new Set(doc.tags.map(({ name }) => name))
    for (const { path, method, operation } of operationsOf(doc)) {
      const name = `${method} ${path}`
      expect([name, operation.summary]).toEqual([name, expect.stringMatching(/^.{5,}/)])
      expect([name, operation.tags?.every(tag => tags.has(tag))]).toEqual([name, true])
      expect([name, Object.keys(operation.responses).length]).not.toEqual([name, 0])
      for (const [status, response] of Object.entries(operation.responses)) {
        expect([name, status, response.description]).toEqual([name, status, expect.any(String)])
      }
      const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, parameter]) => parameter)
      const told = (operation.parameters ?? []).filter(parameter => parameter.in === 'path')
      expect([name, ...told.map(parameter => parameter.name).sort()]).toEqual([
        name,
        ...inPath.sort(),
      ])
    }
  })

  test('has no reference into nothing and no schema that nobody refers to', async () => {
    const text = (await raw.call('/openapi.json')).bytes.toString()
    const { components } = JSON.parse(text) as Document
    const used = new Set(Array.from(text.matchAll(/"#\/components\/schemas\/(\w+)"/g), m => m[1]))
    expect([...used].sort()).toEqual(Object.keys(components.schemas).sort())
    expect(text).not.toContain(String(Number.MAX_SAFE_INTEGER))
  })

  test('comes from the schemas that validate', async () => {
    const { paths } = await document()
    const produce = paths['/topics/{topic}'].post
    const acks = produce.parameters?.find(({ name }) => name === 'acks')
    expect(acks).toMatchObject({
      in: 'query',
      schema: { default: 'all' },
    })
    const words = acks?.schema.enum ?? []
    expect(words.toSorted()).toEqual(['-1', '0', '1', 'all'])
    for (const word of [...words, 'two', 'ALL']) {
      const type = 'application/octet-stream'
      const { status } = await raw.post(`/topics/documented?acks=${word}`, type, 'v')
      expect([word, status]).toEqual([word, words.includes(word) ? 200 : 400])
    }
    expect(Object.keys(produce.requestBody?.content ?? {})).toEqual(
      expect.arrayContaining([
        'application/octet-stream',
        'application/x-ndjson',
        'text/plain; format=lines',
        'application/vnd.kafka.json.v2+json',
        'application/vnd.kafka.binary.v2+json',
      ]),
    )
    const headers = produce.parameters?.filter(parameter => parameter.in === 'header')
    expect(headers?.map(({ name }) => name)).toContain('x-odradek-key')
  })

  test('is sent once to whoever has it', async () => {
    const first = await raw.call('/openapi.json')
    const etag = first.headers.get('etag') as string
    const again = await raw.call('/openapi.json', { headers: { 'if-none-match': etag } })
    expect([again.status, again.bytes.length]).toEqual([304, 0])
  })
})

describe('the page', () => {
  test('needs nothing from elsewhere, and its policy allows nothing else', async () => {
    const page = await raw.call('/docs')
    const html = page.bytes.toString()
    const links = Array.from(html.matchAll(/(?:src|href)="([^"]*)"/g), ([, link]) => link)
    expect(links.length).toBeGreaterThan(2)
    for (const link of links) {
      expect(link).toMatch(/^\/docs\//)
      const { status, headers, bytes } = await raw.call(link)
      expect([link, status, headers.get('x-content-type-options')]).toEqual([link, 200, 'nosniff'])
      expect(bytes.length).toBeGreaterThan(100)
    }
    expect(html).not.toMatch(/<script>|<style|style=|\son\w+=/)
    const policy = page.headers.get('content-security-policy') as string
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toMatch(/unsafe|https?:|\*/)
    const start = (await raw.call('/docs/start.js')).bytes.toString()
    expect(start).not.toMatch(/https?:/)
    expect((await raw.call('/docs/')).headers.get('content-type')).toContain('html')
    expect((await raw.call('/docs/package.json')).status).toBe(404)
  })
})
