/** What is served at /: the page or its data, whole, from memory, and nothing that a browser would fetch elsewhere. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Status } from '../../src/admin/status.ts'
import { prefersJson } from '../../src/http/prefers-json.ts'
import { makeServices, rawRequest, startTestHttp } from './http-fixture.ts'

const folder = new URL('../../src/http/page/', import.meta.url)
const names = readdirSync(folder)
const text = (name: string) => readFileSync(new URL(name, folder), 'utf8')

const status: Status = {
  wallMs: 1_700_000_000_123,
  uptimeMs: 61_999,
  ratesOverMs: 1001.4,
  rates: { recordsIn: 10.04, bytesIn: 1000, recordsOut: 0, bytesOut: 0.06 },
  kafkaRequestsPerSecond: 2.25,
  httpRequestsPerSecond: 1,
  kafkaConnections: 3,
  unflushedRecords: 4,
  diskFreeBytes: null,
  diskTotalBytes: null,
  dispatcherLoad: 0.12345,
  workerRestarts: 1,
  workers: [
    {
      index: 0,
      isUp: true,
      partitions: 1,
      load: 0.5,
      rates: null,
      flushesPerSecond: 7,
      flushMeanMs: 1.234,
    },
  ],
  topics: [
    {
      name: 'clicks',
      id: 'an-id',
      isInternal: false,
      records: 2 ** 53 - 1,
      sizeBytes: null,
      rates: null,
      partitions: [
        {
          index: 0,
          worker: 0,
          state: 'offline',
          reason: 'EIO',
          logStart: 0,
          logEnd: 2 ** 53 - 1,
          sizeBytes: 5,
          rates: null,
        },
      ],
    },
  ],
  groupCount: 1,
  groups: [{ groupId: 'g', state: 'Empty', members: 0, lag: 12 }],
}

async function listener() {
  let asked = 0
  const { url, port } = await startTestHttp(
    makeServices({
      status: async () => {
        asked++
        return status
      },
    }),
  )
  return { url, port, asked: () => asked }
}

describe('GET /', () => {
  test('is a page', async () => {
    const { url, asked } = await listener()
    const answer = await fetch(url, { headers: { accept: 'text/html,*/*;q=0.8' } })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(answer.headers.get('vary')).toBe('accept')
    expect(await answer.text()).toBe(text('index.html'))
    expect(asked()).toBe(0)
  })

  test('is the status for whoever asks for JSON', async () => {
    const { url } = await listener()
    const answer = await fetch(url, { headers: { accept: 'application/json' } })
    expect(answer.headers.get('vary')).toBe('accept')
    expect(await answer.text()).toBe(await (await fetch(`${url}/v1/status`)).text())
  })

  test('answers HEAD, too', async () => {
    const { url } = await listener()
    const answer = await fetch(url, { method: 'HEAD' })
    expect(answer.status).toBe(200)
    expect(Number(answer.headers.get('content-length'))).toBe(Buffer.byteLength(text('index.html')))
  })

  test.each([
    [undefined, false],
    ['', false],
    ['*/*', false],
    ['text/html', false],
    ['application/json', true],
    ['application/JSON; charset=utf-8', true],
    ['application/json, text/html', false],
    ['application/json, text/html;q=0.9', true],
    ['text/html;q=0.1, */*', true],
    ['application/json;q=0, */*', false],
    ['application/*', true],
    ['text/*, application/json;q=0.5', false],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8', false],
    ['application/json;q=nonsense', false],
    ['application/json;q=7', false],
    ['image/png', false],
    [`application/json,${'x'.repeat(1000)}`, false],
  ])('Accept %j prefers JSON: %j', (accept, expected) => {
    expect(prefersJson(accept)).toBe(expected)
  })
})

describe('the files of the page', () => {
  test.each(names)('%s comes with its type, guarded, and is asked for only once', async name => {
    const { url } = await listener()
    const path = name === 'index.html' ? '/' : `/page/${name}`
    const answer = await fetch(`${url}${path}`)
    expect(await answer.text()).toBe(text(name))
    const types = {
      html: 'text/html',
      css: 'text/css',
      js: 'text/javascript',
      svg: 'image/svg+xml',
    }
    const expected = types[name.split('.')[1] as keyof typeof types]
    expect(answer.headers.get('content-type')).toMatch(new RegExp(`^${expected.replace('+', '.')}`))
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const policy = answer.headers.get('content-security-policy')
    expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self'; /)
    expect(policy).not.toMatch(/unsafe|\*|http|data:/)
    const tag = answer.headers.get('etag') ?? ''
    const again = await fetch(`${url}${path}`, { headers: { 'if-none-match': tag } })
    expect([again.status, await again.text()]).toEqual([304, ''])
    const other = await fetch(`${url}${path}`, { headers: { 'if-none-match': '"other"' } })
    expect(other.status).toBe(200)
  })

  test('nothing beside them is served', async () => {
    const { port } = await listener()
    const paths = ['/page/', '/page', '/page/index.html', '/page/../page-routes.ts']
    for (const path of [
      ...paths,
      '/page/%2e%2e/server.ts',
      '/page/..%2fserver.ts',
      '//etc/passwd',
    ]) {
      const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`
      expect([path, (await rawRequest(port, request)).status]).toEqual([path, 404])
    }
  })

  test('need nothing from elsewhere, and nothing inline', () => {
    for (const name of names) {
      const addresses = text(name).replaceAll('http://www.w3.org/2000/svg', '')
      expect([name, addresses.match(/(https?:)?\/\/[\w-]+\.\w/g)]).toEqual([name, null])
    }
    const html = text('index.html')
    expect(html).not.toMatch(/<style|\sstyle=|\son\w+=|javascript:|<script(?![^>]*\ssrc=)/)
    for (const [, path] of html.matchAll(/(?:src|href)="page\/([^"]*)"/g))
      expect(names).toContain(path)
    const scripts = names.filter(name => name.endsWith('.js'))
    for (const name of scripts) {
      expect([
        name,
        /innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/.test(text(name)),
      ]).toEqual([name, false])
      for (const [, path] of text(name).matchAll(/from '\.\/([^']+)'/g))
        expect(names).toContain(path)
    }
  })
})

describe('GET /v1/status', () => {
  test('numbers are rounded, offsets are text', async () => {
    const { url } = await listener()
    const answer = await fetch(`${url}/v1/status`)
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    const topic = {
      topic: 'clicks',
      topic_id: 'an-id',
      internal: false,
      records: '9007199254740991',
      size_bytes: null,
      rates: null,
      partitions: [
        {
          partition: 0,
          worker: 0,
          state: 'offline',
          reason: 'EIO',
          log_start_offset: '0',
          log_end_offset: '9007199254740991',
          size_bytes: 5,
          rates: null,
        },
      ],
    }
    expect(await answer.json()).toEqual({
      time: '2023-11-14T22:13:20.123Z',
      version: '1.2.3',
      node_version: process.version,
      cluster_id: 'this-cluster',
      broker: { node_id: 1, host: '127.0.0.1', port: 9092 },
      uptime_seconds: 61,
      ready: true,
      serving: true,
      unavailable_count: 0,
      reasons: [],
      rates_over_ms: 1001,
      rates: {
        records_in_per_second: 10,
        bytes_in_per_second: 1000,
        records_out_per_second: 0,
        bytes_out_per_second: 0.1,
      },
      kafka_requests_per_second: 2.3,
      http_requests_per_second: 1,
      kafka_connections: 3,
      unflushed_records: 4,
      disk_free_bytes: null,
      disk_total_bytes: null,
      dispatcher_load: 0.123,
      worker_restarts: 1,
      workers: [
        {
          worker: 0,
          up: true,
          partitions: 1,
          load: 0.5,
          rates: null,
          flushes_per_second: 7,
          flush_mean_ms: 1.2,
        },
      ],
      topics: [topic],
      group_count: 1,
      groups: [{ group_id: 'g', state: 'Empty', members: 0, lag: '12' }],
    })
  })

  test('is not for web pages of others', async () => {
    const { url, asked } = await listener()
    const headers = { origin: 'http://evil.example', accept: 'application/json' }
    expect((await fetch(`${url}/v1/status`, { headers })).status).toBe(403)
    expect((await fetch(url, { headers })).status).toBe(403)
    expect(asked()).toBe(0)
  })
})
