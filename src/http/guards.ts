/**
 * What every HTTP request passes before a route sees it: number of headers, Host, Origin. Pure functions over header
 * values, so they are tested without a socket. Dispatcher thread.
 *
 * A browser can be made to send requests to 127.0.0.1 by any page. Two checks stop such a page: the Host must be an
 * address or a name of this machine (DNS rebinding needs a name the attacker owns), and an Origin must be our own.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { echoed, HttpProblem } from './problem.ts'

/** More headers are refused, not cut off: a proxy in front and this server must see the same request. */
const headersMax = 64

/** @throws HttpProblem 431, 400 or 403. */
export function checkRequest(request: IncomingMessage, hostNames: ReadonlySet<string>): void {
  const headerCount = request.rawHeaders.length / 2
  if (headerCount > headersMax) {
    throw new HttpProblem(431, `${headerCount} headers; at most ${headersMax} are accepted`)
  }
  const host = singleHost(request)
  if (host !== null) checkHost(host, hostNames)
  const origin = request.headers.origin
  if (origin !== undefined) checkOrigin(origin, host)
}

/** Names, beside IP addresses and localhost, under which this listener may be called. Lower case. */
export function hostNamesOf(...configured: readonly (string | undefined)[]): ReadonlySet<string> {
  const names = new Set([hostname().toLowerCase()])
  for (const name of configured) if (name !== undefined) names.add(name.toLowerCase())
  return names
}

/** @returns the Host header; null for HTTP/1.0 without one (health checks of load balancers, never browsers). */
function singleHost(request: IncomingMessage): string | null {
  let count = 0
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (request.rawHeaders[i].toLowerCase() === 'host') count++
  }
  if (count === 1) return request.headers.host ?? ''
  if (count === 0 && request.httpVersion === '1.0') return null
  throw new HttpProblem(400, `${count} Host headers; exactly one is needed`)
}

const hostPattern = /^(?:\[(?<address>[0-9a-fA-F:.]+)\]|(?<name>[a-zA-Z0-9._-]+))(?::\d{1,5})?$/

function checkHost(host: string, hostNames: ReadonlySet<string>): void {
  const parts = hostPattern.exec(host)?.groups
  if (parts === undefined) throw new HttpProblem(400, `malformed Host header ${echoed(host)}`)
  const name = (parts.address ?? parts.name).toLowerCase().replace(/\.$/, '')
  if (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')) return
  if (hostNames.has(name)) return
  throw new HttpProblem(
    403,
    `Host ${echoed(host)} is not a name of this listener: ` +
      'call it by IP address, as localhost, or by the host of --http or --advertise',
  )
}

function checkOrigin(origin: string, host: string | null): void {
  const from = URL.canParse(origin) ? new URL(origin) : null
  const own = from !== null && host !== null ? `${from.protocol}//${host}` : null
  if (own !== null && URL.canParse(own) && new URL(own).host === from?.host) return
  throw new HttpProblem(403, `cross-origin request from ${echoed(origin)} refused`)
}
