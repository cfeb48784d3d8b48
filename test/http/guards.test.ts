import { hostname } from 'node:os'
import { describe, expect, test } from 'vitest'
import { makeServices, rawRequest, startTestHttp } from './http-fixture.ts'

const services = () =>
  makeServices({
    config: {
      http: { host: '127.0.0.1', port: 0 },
      advertised: { host: 'Broker.Example.org', port: 9092 },
    },
  })

function request(headers: readonly string[], method = 'GET', version = '1.1'): string {
  const lines = [`${method} /healthz HTTP/${version}`, ...headers, 'Connection: close']
  return `${lines.join('\r\n')}\r\n\r\n`
}

describe('Host', () => {
  const accepted = [
    'localhost',
    'localhost:8082',
    'LOCALHOST:1',
    'localhost.',
    'web.localhost:8082',
    '127.0.0.1:8082',
    '10.1.2.3',
    '[::1]:8082',
    '[fe80::1]',
    'broker.example.org',
    'BROKER.example.org:443',
    hostname(),
  ]
  const refused: [host: string, status: number][] = [
    ['evil.example.com', 403],
    ['evil.example.com:8082', 403],
    ['localhost.evil.example.com', 403],
    ['127.0.0.1.evil.example.com', 403],
    ['notlocalhost', 403],
    ['x.broker.example.org', 403],
    ['', 400],
    ['localhost:port', 400],
    ['localhost:1:2', 400],
    ['user@localhost', 400],
    ['localhost/path', 400],
    ['[::1', 400],
    ['local host', 400],
  ]

  test('addresses, localhost and configured names pass', async () => {
    const { port } = await startTestHttp(services())
    for (const host of accepted) {
      const { status } = await rawRequest(port, request([`Host: ${host}`]))
      expect([host, status]).toEqual([host, 200])
    }
  })

  test('any other name is refused, so a rebound name reaches nothing', async () => {
    const { port } = await startTestHttp(services())
    for (const [host, status] of refused) {
      const answer = await rawRequest(port, request([`Host: ${host}`]))
      expect([host, answer.status]).toEqual([host, status])
      expect(JSON.parse(answer.body)).toMatchObject({ error_code: status })
    }
  })

  test('none or two are refused; HTTP/1.0 health checks may leave it out', async () => {
    const { port } = await startTestHttp(services())
    const two = ['Host: localhost', 'Host: localhost']
    const refusedRequests = [request([]), request(two), request(two, 'GET', '1.0')]
    for (const text of refusedRequests) {
      const answer = await rawRequest(port, text)
      expect([text, answer.status]).toEqual([text, 400])
      expect(JSON.parse(answer.body).message).toContain('Host headers')
    }
    expect((await rawRequest(port, request([], 'GET', '1.0'))).status).toBe(200)
  })
})

describe('Origin', () => {
  test('another origin is refused whatever the method', async () => {
    const { port } = await startTestHttp(services())
    const origins = [
      'https://evil.example.com',
      'http://localhost:1',
      'http://localhost',
      'http://localhost.evil.example.com:8082',
      'null',
      'file://',
      'rubbish',
      '',
    ]
    for (const origin of origins) {
      for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
        const headers = ['Host: localhost:8082', `Origin: ${origin}`]
        const answer = await rawRequest(port, request(headers, method))
        expect([origin, method, answer.status]).toEqual([origin, method, 403])
        expect(answer.headers.has('access-control-allow-origin')).toBe(false)
      }
    }
  })

  test('our own origin passes, also behind a proxy that adds TLS', async () => {
    const { port } = await startTestHttp(services())
    const pairs = [
      ['localhost:8082', 'http://localhost:8082'],
      ['localhost:8082', 'http://LOCALHOST:8082'],
      ['127.0.0.1', 'http://127.0.0.1'],
      ['broker.example.org', 'https://broker.example.org'],
      ['[::1]:8082', 'http://[::1]:8082'],
    ]
    for (const [host, origin] of pairs) {
      const answer = await rawRequest(port, request([`Host: ${host}`, `Origin: ${origin}`]))
      expect([origin, answer.status]).toEqual([origin, 200])
    }
  })

  test('a page of another origin gets nothing through fetch either', async () => {
    const { url } = await startTestHttp(services())
    const answer = await fetch(`${url}/metrics`, {
      headers: { origin: 'https://evil.example.com' },
    })
    expect(answer.status).toBe(403)
    expect(await answer.text()).not.toContain('odradek_')
  })
})
