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

/** @throws HttpProblem 505, 431, 400 or 403. */
export function checkRequest(request: IncomingMessage, hostNames: ReadonlySet<string>): void {
  const { httpVersion } = request
  // Node's parser takes 0.9 and 2.0, too, and reads them as if they were 1.1; others on the way would not.
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    throw new HttpProblem(505, `HTTP/${httpVersion} is not spoken here: HTTP/1.1 and 1.0 are`)
  }
  const headerCount = request.rawHeaders.length / 2
  if (headerCount > headersMax) {
    throw new HttpProblem(431, `${headerCount} headers; at most ${headersMax} are accepted`)
  }
  const host = singleHost(request)
  if (host !== null) checkHost(host, hostNames)
  const origin = request.headers.origin
  if (origin !== undefined) checkOrigin(origin, host)
  checkQuery(request.url ?? '')
}

/** A key that is not UTF-8 would otherwise be stored as the text of its escapes. */
function checkQuery(url: string): void {
  const start = url.indexOf('?')
  if (start < 0 || !url.includes('%', start)) return
  try {
    decodeURIComponent(url.slice(start))
  } catch {
    const cure = '%XX must be the bytes of UTF-8 text, a percent sign itself %25'
    throw new HttpProblem(400, `malformed escapes in the query: ${cure}`)
  }
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

/** Whether a Host header names this listener; false, too, for one that is malformed. */
export function isHostAccepted(host: string, hostNames: ReadonlySet<string>): boolean {
  const parts = hostPattern.exec(host)?.groups
  if (parts === undefined) return false
  const name = (parts.address ?? parts.name).toLowerCase().replace(/\.$/, '')
  if (isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost')) return true
  return hostNames.has(name)
}

function checkHost(host: string, hostNames: ReadonlySet<string>): void {
  const parts = hostPattern.exec(host)?.groups
  if (parts === undefined) throw new HttpProblem(400, `malformed Host header ${echoed(host)}`)
  if (isHostAccepted(host, hostNames)) return
  throw new HttpProblem(
    403,
    `Host ${echoed(host)} is not a name of this listener: ` +
      'call it by IP address, as localhost, or by the host of --http or --advertise',
  )
}

function checkOrigin(origin: string, host: string | null): void {
  const from = URL.canParse(origin) ? new URL(origin) : null
  // A page of no host, as a file, has the empty name, which is nobody's own.
  const isNamed = from !== null && from.host !== '' && host !== null
  const own = isNamed ? `${from.protocol}//${host}` : null
  if (own !== null && URL.canParse(own) && new URL(own).host === from?.host) return
  throw new HttpProblem(403, `cross-origin request from ${echoed(origin)} refused`)
}
