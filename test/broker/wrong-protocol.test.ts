/** Peers that speak something else to the Kafka port: they are told, or dropped, and nobody else notices. */
import { describe, expect, test } from 'vitest'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { connect, sharedBroker, testBroker } from './fixture.ts'

const nameless = { clientSoftwareName: '', clientSoftwareVersion: '' }

describe('HTTP on the Kafka port', () => {
  const broker = sharedBroker({ http: true })

  test.each(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
    '%s gets a 400 that names the HTTP port',
    async method => {
      const client = await connect(broker())
      client.write(Buffer.from(`${method} /topics HTTP/1.1\r\nHost: x\r\n\r\n`))
      client.socket.end()
      const answer = String(await client.drain())
      const [head, body] = answer.split('\r\n\r\n')
      expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
      expect(head).toMatch(new RegExp(`^Content-Length: ${Buffer.byteLength(body)}$`, 'im'))
      expect(broker().httpUrl).toMatch(/^http:/)
      expect(body).toContain(broker().httpUrl)
    },
  )

  test('an ordinary HTTP client understands the answer', async () => {
    const answer = await fetch(`http://${broker().bootstrap}/metrics`)
    expect(answer.status).toBe(400)
    expect(await answer.text()).toContain(broker().httpUrl)
  })

  test('a large body is not kept, and its sender gets the answer all the same', async () => {
    const client = await connect(broker())
    client.write(Buffer.from(`POST / HTTP/1.1\r\nContent-Length: 9000000\r\n\r\n`))
    const answer = client.drain()
    for (let i = 0; i < 9; i++) client.write(Buffer.alloc(1_000_000, 'x'))
    client.socket.end()
    expect(String(await answer)).toMatch(/^HTTP\/1\.1 400 /)
    const { requests } = broker().parts.dispatcher
    await expect.poll(() => requests.usedBytes, { interval: 5 }).toBeLessThan(1_500_000)
  })

  test('after a Kafka request it is a frame too large like any other', async () => {
    const client = await connect(broker())
    await client.request(ApiVersions, 0, nameless)
    client.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
  })
})

test('without an HTTP listener the answer says that there is none', async () => {
  const broker = await testBroker({ http: false })
  const answer = await fetch(`http://${broker.bootstrap}/`)
  expect(answer.status).toBe(400)
  expect(await answer.text()).toMatch(/HTTP is switched off/)
})

describe('other protocols', () => {
  const broker = sharedBroker()

  test.each([
    ['a TLS hello', Buffer.from('16030100c8010000c4', 'hex')],
    ['an SSH banner', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n')],
    ['text', Buffer.from('hello?\n')],
    ['0xff bytes', Buffer.alloc(100, 0xff)],
  ])('%s closes the connection without a word', async (_, bytes) => {
    const bystander = await connect(broker())
    const client = await connect(broker())
    client.write(bytes)
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
    expect(await bystander.request(ApiVersions, 0, nameless)).toMatchObject({ errorCode: 0 })
  })

  test('zeros are empty frames: the first one has no header', async () => {
    const client = await connect(broker())
    client.write(Buffer.alloc(1000))
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
  })
})
