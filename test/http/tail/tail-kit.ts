/** Clients of tails, and a broker with HTTP for them. */
import { once } from 'node:events'
import { get } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { WebSocket } from 'ws'
import type { Broker } from '../../../src/broker.ts'
import { Producer } from '../../../src/client/producer.ts'
import { launchBroker, type TestBrokerOptions } from '../../broker/fixture.ts'

export interface TailEvent {
  readonly event: string
  readonly id: string
  readonly data: Record<string, unknown>
}

export interface EventTail {
  readonly events: TailEvent[]
  /** Everything received, as it came. */
  text(): string
  /** Resolves when the server has ended the stream. */
  readonly ended: Promise<void>
  close(): void
}

export function httpOf({ httpUrl }: Broker): string {
  if (httpUrl === null) throw new Error('this broker has no HTTP')
  return httpUrl
}

/** A broker with HTTP that ends with the test. */
export async function tailBroker(set: TestBrokerOptions['set'] = {}): Promise<Broker> {
  const broker = await launchBroker({ http: true, workers: 1, set })
  onTestFinished(() => broker.close())
  return broker
}

/** An event stream read by a few lines of our own, so that every byte is seen. */
export async function openEvents(url: string, lastEventId?: string): Promise<EventTail> {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const request = get(url, { agent: false, headers })
  request.on('error', () => {})
  const [response] = await once(request, 'response')
  if (response.statusCode !== 200) {
    response.setEncoding('utf8')
    const [body] = await once(response, 'data')
    throw new Error(`${response.statusCode} ${body}`)
  }
  const events: TailEvent[] = []
  let text = ''
  let rest = ''
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    text += chunk
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) if (!block.startsWith(':')) events.push(eventOf(block))
  })
  response.on('error', () => {})
  const ended = new Promise<void>(resolve => void response.on('close', resolve))
  const close = () => void request.destroy()
  onTestFinished(close)
  return { events, text: () => text, ended, close }
}

function eventOf(block: string): TailEvent {
  const fields = new Map(
    block.split('\n').map(line => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)] as const
    }),
  )
  return {
    event: fields.get('event') ?? 'record',
    id: fields.get('id') ?? '',
    data: JSON.parse(fields.get('data') ?? 'null'),
  }
}

/** `partition:offset=value` of every record, in the order received. */
export function recordsOf(events: readonly TailEvent[]): string[] {
  return events
    .filter(({ event }) => event === 'record')
    .map(({ data }) => `${data.partition}:${data.offset}=${String(data.value)}`)
}

export const named = (events: readonly TailEvent[], name: string) =>
  events.filter(({ event }) => event === name)

export interface SocketTail {
  readonly messages: Record<string, unknown>[]
  readonly socket: WebSocket
  readonly closed: Promise<{ code: number; reason: string }>
}

export async function openSocket(url: string): Promise<SocketTail> {
  const socket = new WebSocket(url.replace('http:', 'ws:'))
  const messages: Record<string, unknown>[] = []
  socket.on('message', data => void messages.push(JSON.parse((data as Buffer).toString())))
  const closed = once(socket, 'close').then(([code, reason]) => ({ code, reason: `${reason}` }))
  closed.catch(() => {})
  onTestFinished(() => socket.terminate())
  await once(socket, 'open')
  return { messages, socket, closed }
}

/** An event stream whose client reads nothing until it is told to. */
export async function openUnread(url: string): Promise<Socket> {
  const { hostname, port, pathname, search } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => {})
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  socket.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`)
  // Not a byte is read: what the kernel takes for it, it takes.
  return socket
}

export function producer(broker: Broker): Producer {
  const made = new Producer({ bootstrap: broker.bootstrap })
  onTestFinished(() => made.close())
  return made
}

/** Value of one series of /metrics; 0 when it is not there. */
export async function metric(url: string, series: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const line = text.split('\n').find(candidate => candidate.startsWith(`odradek_${series} `))
  return Number(line?.split(' ')[1] ?? 0)
}

/** Stands between clients and a listener and cuts every connection that has carried so many bytes to the client. */
export async function cuttingProxy(url: string, cutAfterBytes: number) {
  const { port } = new URL(url)
  let connections = 0
  const open = new Set<Socket>()
  const server = createServer(client => {
    connections++
    const upstream = connect(Number(port), '127.0.0.1')
    open.add(client).add(upstream)
    let bytes = 0
    client.on('error', () => {}).pipe(upstream)
    upstream
      .on('error', () => {})
      .on('data', (chunk: Buffer) => {
        const room = cutAfterBytes - bytes
        bytes += chunk.length
        client.write(chunk.subarray(0, room))
        if (bytes < cutAfterBytes) return
        client.destroySoon()
        upstream.destroy()
      })
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroySoon())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  const address = server.address() as { port: number }
  return { url: `http://127.0.0.1:${address.port}`, connections: () => connections }
}
