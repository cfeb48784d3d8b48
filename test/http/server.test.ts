import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { buildHttp, startHttp } from '../../src/http/server.ts'
import { labelled } from '../../src/metrics.ts'
import { freePort } from '../support/free-port.ts'
import { makeServices, rawRequest, startTestHttp } from './http-fixture.ts'

const deadlines = { headersMs: 300, requestMs: 600, checkMs: 50, drainMs: 200 }

describe('health', () => {
  test('/healthz says ok whenever it answers', async () => {
    const services = makeServices()
    services.state.readiness = { serving: false, unavailable: ['a-0'] }
    const { url } = await startTestHttp(services)
    const answer = await fetch(`${url}/healthz`)
    expect([answer.status, await answer.json()]).toEqual([200, { status: 'ok' }])
  })

  test('/readyz is 200 only while serving with every partition online', async () => {
    const services = makeServices()
    const { url } = await startTestHttp(services)
    const ready = await fetch(`${url}/readyz`)
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true }])

    services.state.readiness = { serving: false, unavailable: [] }
    const starting = await fetch(`${url}/readyz`)
    expect(starting.status).toBe(503)
    expect(await starting.json()).toMatchObject({ error_code: 503, ready: false })

    services.state.readiness = { serving: true, unavailable: ['clicks-3', '__proto__-0'] }
    const broken = await fetch(`${url}/readyz`)
    expect(broken.status).toBe(503)
    expect(await broken.json()).toMatchObject({
      error_code: 503,
      unavailable_count: 2,
      unavailable: ['clicks-3', '__proto__-0'],
    })
  })

  test('/readyz counts all broken partitions but names at most a hundred', async () => {
    const services = makeServices()
    const names = Array.from({ length: 4096 }, (_, i) => `t-${i}`)
    services.state.readiness = { serving: true, unavailable: names }
    const { url } = await startTestHttp(services)
    const body = (await (await fetch(`${url}/readyz`)).json()) as Record<string, unknown>
    expect(body.unavailable_count).toBe(4096)
    expect(body.unavailable).toEqual(names.slice(0, 100))
  })
})

describe('problems', () => {
  test('an unknown path or method is a JSON problem that names it', async () => {
    const { url } = await startTestHttp()
    for (const [method, path] of [
      ['GET', '/nope'],
      ['POST', '/healthz'],
    ]) {
      const answer = await fetch(url + path, { method })
      expect(answer.status).toBe(404)
      expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8')
      const body = (await answer.json()) as { error_code: number; message: string }
      expect(body.error_code).toBe(404)
      expect(body.message).toContain(`${method} "${path}"`)
    }
  })

  test('a path that does not decode is a 400, not a crash', async () => {
    const { url } = await startTestHttp()
    const answer = await fetch(`${url}/%zz`)
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error_code: 400 })
  })

  test('a failure of our own is logged and answered without its text', async () => {
    const logged: unknown[] = []
    const services = makeServices()
    const log = { ...services.log, error: (...args: unknown[]) => void logged.push(args) }
    const app = buildHttp({ ...services, log })
    onTestFinished(() => app.close())
    app.get('/broken', () => {
      throw new Error('inner secret')
    })
    const answer = await app.inject({ url: '/broken', headers: { host: 'localhost' } })
    expect(answer.statusCode).toBe(500)
    expect(answer.json()).toEqual({ error_code: 500, message: expect.any(String) })
    expect(answer.body).not.toContain('inner secret')
    expect(logged).toHaveLength(1)
  })

  test('answers are counted by class of status, also those without a request', async () => {
    const services = makeServices()
    const { url, port } = await startTestHttp(services)
    await fetch(`${url}/healthz`)
    await fetch(`${url}/nope`)
    await rawRequest(port, 'rubbish\r\n\r\n')
    expect(services.metrics.get(labelled('httpRequests', '2xx'))).toBe(1)
    expect(services.metrics.get(labelled('httpRequests', '4xx'))).toBe(2)
  })
})

describe('bounds', () => {
  const headers = (count: number) =>
    Array.from({ length: count }, (_, i) => `x-${i}: v\r\n`).join('')

  test('64 headers pass and 65 are a 431', async () => {
    const { port } = await startTestHttp()
    const head = 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n'
    expect((await rawRequest(port, `${head}${headers(62)}\r\n`)).status).toBe(200)
    const refused = await rawRequest(port, `${head}${headers(63)}\r\n`)
    expect(refused.status).toBe(431)
    expect(JSON.parse(refused.body)).toMatchObject({ error_code: 431 })
    // Far above node's own default of cutting, too.
    expect((await rawRequest(port, `${head}${headers(1500)}\r\n`)).status).toBe(431)
  })

  test('a 431 ends the connection, so what follows is not taken for a request', async () => {
    const { port } = await startTestHttp()
    const first = `GET /healthz HTTP/1.1\r\nHost: localhost\r\n${headers(100)}\r\n`
    const answer = await rawRequest(
      port,
      `${first}GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    )
    expect(answer.status).toBe(431)
    expect(answer.headers.get('connection')).toBe('close')
    expect(answer.body).not.toContain('HTTP/1.1 200')
  })

  test('more than 16 KiB of headers are a 431', async () => {
    const { port } = await startTestHttp()
    const answer = await rawRequest(
      port,
      `GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: ${'y'.repeat(17_000)}\r\n\r\n`,
    )
    expect(answer.status).toBe(431)
    expect(JSON.parse(answer.body)).toMatchObject({ error_code: 431 })
  })

  /** A listener with a route that takes bodies, as the produce route will. */
  async function startWithBodies(requestMs = 60_000) {
    const app = buildHttp(makeServices({ deadlines: { ...deadlines, requestMs } }))
    app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (_r, body, done) =>
      done(null, body),
    )
    app.post('/echo', request => {
      const body = request.body as Buffer | object
      return Buffer.isBuffer(body) ? { bytes: body.length } : { json: body }
    })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => app.close())
    return { url, port: Number(new URL(url).port) }
  }

  const post = (url: string, type: string, body: string | Uint8Array<ArrayBuffer>) =>
    fetch(`${url}/echo`, { method: 'POST', headers: { 'content-type': type }, body })

  test('16 MiB of body pass and one byte more is a 413, announced or streamed', async () => {
    const { url, port } = await startWithBodies()
    const largest = 16 * 1024 * 1024
    const fits = await post(url, 'application/octet-stream', new Uint8Array(largest))
    expect(await fits.json()).toEqual({ bytes: largest })

    const head =
      'POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n'
    const announced = await rawRequest(port, `${head}Content-Length: ${largest + 1}\r\n\r\n`)
    expect(announced.status).toBe(413)

    const chunk = Buffer.alloc(1024 * 1024)
    const pieces: Buffer[] = [Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`)]
    for (let i = 0; i < 17; i++) {
      pieces.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'))
    }
    const streamed = await rawRequest(port, Buffer.concat(pieces))
    expect(streamed.status).toBe(413)
    expect(JSON.parse(streamed.body)).toMatchObject({ error_code: 413 })
  })

  test('JSON bodies are bounded in size, depth and names', async () => {
    const { url } = await startWithBodies()
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
    const cases: [body: string, status: number][] = [
      [nested(32), 200],
      [nested(33), 400],
      [nested(100_000), 400],
      [`{"text":"${'['.repeat(100)}\\"["}`, 200],
      [`["text",${nested(32)}]`, 400],
      [`["\\"",${nested(32)}]`, 400],
      [`["\\"",${nested(31)}]`, 200],
      [`{"__proto__":{"polluted":1}}`, 400],
      [`{"constructor":{"prototype":{"polluted":1}}}`, 400],
      [`{"half":`, 400],
      ['', 400],
      [`"${'x'.repeat(1024 * 1024)}"`, 413],
    ]
    for (const [body, status] of cases) {
      const answer = await post(url, 'application/json', body)
      expect([body.slice(0, 40), answer.status]).toEqual([body.slice(0, 40), status])
      if (status === 200) continue
      const { error_code: code } = (await answer.json()) as { error_code: number }
      expect(String(code)).toMatch(new RegExp(`^${status}`))
    }
  })

  test('body types that any web page can send without asking are refused', async () => {
    const { url } = await startWithBodies()
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      expect((await post(url, type, 'x')).status).toBe(415)
    }
  })

  test('headers that never end are a 408', async () => {
    const { port } = await startTestHttp(
      makeServices({ deadlines: { ...deadlines, requestMs: 300_000 } }),
    )
    const answer = await rawRequest(port, 'GET /healthz HTTP/1.1\r\nHost: localhost\r\nx-sl')
    expect(answer.status).toBe(408)
    expect(JSON.parse(answer.body)).toMatchObject({ error_code: 408 })
  })

  test('a body that never ends is a 408', async () => {
    const { port } = await startWithBodies(deadlines.requestMs)
    const head =
      'POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n'
    const answer = await rawRequest(port, `${head}Content-Length: 100\r\n\r\nonly this`)
    expect(answer.status).toBe(408)
  })

  test('ambiguous framing is refused', async () => {
    const { port } = await startWithBodies()
    const head =
      'POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n'
    const requests = [
      `${head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      `${head}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd`,
      `${head}Content-Length: +3\r\n\r\nabc`,
      `${head}Content-Length: -1\r\n\r\n`,
      `${head}Content-Length : 3\r\n\r\nabc`,
      `${head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n`,
      'GET /healthz HTTP/1.1\r\nHost: localhost\r\nx: a\r\n folded\r\n\r\n',
      'GET /healthz HTTP/1.1\nHost: localhost\n\n',
    ]
    for (const request of requests) {
      expect([request, (await rawRequest(port, request)).status]).toEqual([request, 400])
    }
  })
})

describe('pipelined requests', () => {
  test('are answered before the bytes behind them are refused', async () => {
    const app = buildHttp(makeServices())
    const { promise, resolve } = Promise.withResolvers<void>()
    app.get('/slow', async () => {
      await promise
      return { slow: true }
    })
    await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => app.close())
    const { port } = app.server.address() as AddressInfo
    const get = (path: string, more = '') =>
      `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`
    for (const [behind, statuses] of [
      ['rubbish\r\n\r\n', ['200', '200', '400']],
      [`${get('/healthz', 'Connection: close\r\n')}rubbish\r\n\r\n`, ['200', '200', '200']],
    ] as const) {
      const answered = rawRequest(port, get('/healthz') + get('/slow') + behind)
      setTimeout(resolve, 100)
      const { status, body } = await answered
      const others = [...body.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code)
      expect([String(status), ...others]).toEqual(statuses)
      expect(body).toContain('{"slow":true}')
    }
  })
})

describe('listening', () => {
  test('a port in use is an error with code and address', async () => {
    const first = await startTestHttp()
    const services = makeServices({ config: { http: { host: '127.0.0.1', port: first.port } } })
    const error = await startHttp(services).then(
      () => null,
      (reason: NodeJS.ErrnoException) => reason,
    )
    const wanted = { code: 'EADDRINUSE', address: '127.0.0.1', port: first.port }
    expect(error).toMatchObject(wanted)
  })

  test('it listens where it is told and frees the port when closed', async () => {
    const port = await freePort()
    const services = makeServices({ config: { http: { host: '127.0.0.1', port } } })
    for (let round = 0; round < 2; round++) {
      const http = await startHttp(services)
      expect(http).toMatchObject({ port, url: `http://127.0.0.1:${port}` })
      expect((await fetch(`${http.url}/healthz`)).status).toBe(200)
      await http.close()
    }
    await expect(fetch(`http://127.0.0.1:${port}/healthz`)).rejects.toThrow()
  })

  test('close() does not wait for a client that sends half a request', async () => {
    const http = await startHttp(
      makeServices({ deadlines: { ...deadlines, headersMs: 60_000, requestMs: 90_000 } }),
    )
    const socket = connect(http.port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write('GET /healthz HTTP/1.1\r\nHost')
    await http.close()
    if (!socket.closed) await once(socket, 'close')
    expect(socket.destroyed).toBe(true)
  })
})
