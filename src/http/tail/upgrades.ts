/**
 * Requests that ask for another protocol. With a listener for upgrades node:http stops reading such a request as HTTP;
 * but clients ask for more than WebSockets: Java's and curl's ask for HTTP/2 with any request, and go on with HTTP/1.1
 * where a server does not take that up. Those requests are given back to node:http, without the wish. Dispatcher
 * thread.
 */
import { EventEmitter } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'

type ConnectionListener = (this: Server, socket: Duplex) => void

/** What node:http itself does with a connection, by server. */
const nodeListeners = new WeakMap<Server, readonly ConnectionListener[]>()

/** To be called before anybody else takes the connections of a server. */
export function keepNodeListeners(server: Server): void {
  nodeListeners.set(server, server.listeners('connection') as ConnectionListener[])
}

/** @param isTaken says for a path whether there is a WebSocket. @returns emits `upgrade` for those requests only */
export function webSocketUpgrades(server: Server, isTaken: (path: string) => boolean): Server {
  const upgrades = new EventEmitter()
  server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
    const isWebSocket = request.headers.upgrade?.toLowerCase() === 'websocket'
    const isOurs = isWebSocket && isTaken(request.url ?? '')
    socket.on('error', ignore)
    afterAnswers(socket, () => {
      if (socket.destroyed) return
      socket.off('error', ignore)
      if (isOurs) {
        upgrades.emit('upgrade', request, socket, head)
        // An answer instead of a WebSocket is the last thing on a connection that nobody reads as HTTP any more.
        answerOn(socket)?.once('finish', () => socket.destroySoon())
      } else handBack(server, request, socket, head)
    })
  })
  return upgrades as Server
}

const ignore = (): void => {}

/** Calls `next` once no answer to a request in front, sent without waiting for it, is under way on the socket. */
function afterAnswers(socket: Duplex, next: () => void): void {
  const answer = answerOn(socket)
  if (answer === null) next()
  else answer.once('close', () => afterAnswers(socket, next))
}

/** The answer that has the socket; node:http gives it to the next one when that is done. */
function answerOn(socket: Duplex): ServerResponse | null {
  return (socket as { _httpMessage?: ServerResponse | null })._httpMessage ?? null
}

function handBack(server: Server, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  if (head.length > 0) socket.unshift(head)
  socket.unshift(Buffer.from(headOf(request), 'latin1'))
  for (const listener of nodeListeners.get(server) ?? []) listener.call(server, socket)
}

function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage): string {
  const lines = [`${method} ${url} HTTP/${httpVersion}`]
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]
    const value = rawHeaders[i + 1]
    const lower = name.toLowerCase()
    if (lower === 'upgrade' || lower === 'http2-settings') continue
    if (lower !== 'connection') lines.push(`${name}: ${value}`)
    else if (withoutUpgrade(value) !== '') lines.push(`${name}: ${withoutUpgrade(value)}`)
  }
  return `${lines.join('\r\n')}\r\n\r\n`
}

function withoutUpgrade(options: string): string {
  const kept = options.split(',').filter(option => {
    return !['upgrade', 'http2-settings'].includes(option.trim().toLowerCase())
  })
  return kept.join(',').trim()
}
