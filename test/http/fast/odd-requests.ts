/** Produce requests that are almost plain: parts of a good one changed, by a seed. */
import type { Random } from '../../sim/world/random.ts'

const lines = [
  'Host: 127.0.0.1:8082',
  'Content-Type: application/octet-stream',
  'Connection: keep-alive',
  'User-Agent: x/1.0 (a; b) "c"',
  'Accept: */*',
  'Accept-Encoding: gzip, deflate',
  'sec-fetch-mode: cors',
]

export const evilLines: readonly string[] = [
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: identity',
  'Transfer-Encoding : chunked',
  'transfer-encoding:\tchunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer\x00-Encoding: chunked',
  'Content-Length: 5',
  'Content-Length: 05',
  'Content-Length: +5',
  'Content-Length: -5',
  'Content-Length: 5, 5',
  'Content-Length: 5 5',
  'Content-Length: 0x5',
  'Content-Length: 5;',
  'Content-Length : 5',
  ' Content-Length: 5',
  'Content-Length:',
  'Content-Length: 99999999999999999999',
  'Content-Length: 4294967301',
  'Content-Length: \xb2',
  'Content_Length: 5',
  'Expect: 100-continue',
  'Upgrade: websocket',
  'Connection: close',
  'Connection: upgrade, keep-alive',
  'Connection: keep-alive, content-length',
  'Host: evil.example',
  'Host:',
  'Host: a b',
  'HOST: 127.0.0.1',
  'Origin: http://evil.example',
  'Content-Encoding: gzip',
  'Content-Type: text/plain',
  'Trailer: X',
  'TE: trailers',
  'X-Odradek-Key: k',
  'X-HTTP-Method-Override: DELETE',
  'Proxy-Connection: keep-alive',
  'Cookie: a=b',
  'Authorization: Basic YQ==',
  ': nothing',
  'no colon',
  'Accept\x00: a',
  'Accept: a\x00b',
  'Accept: a\x7fb',
  'Accept: a\rb',
  'Accept: a\n b',
  'Accept: a\r\n folded',
  'Accept: a\r\n\tfolded',
  'Accept: \xff',
  '\xffAccept: a',
  'Accept\t: a',
]

export const requestLines: readonly string[] = [
  'POST /topics/t HTTP/1.1',
  'POST /topics/t/partitions/0 HTTP/1.1',
  'POST /topics/t?acks=1 HTTP/1.1',
  'POST /topics/t?acks=all HTTP/1.1',
  'POST /topics/t/partitions/12?acks=0 HTTP/1.1',
  'POST /topics/a.b_c-D9 HTTP/1.1',
  'POST /topics/t HTTP/1.0',
  'POST /topics/t HTTP/1.2',
  'POST /topics/t HTTP/2.0',
  'POST /topics/t HTTP/01.1',
  'POST /topics/t HTTP/1.10',
  'POST /topics/t http/1.1',
  'POST /topics/t HTTP/1.1 ',
  'POST /topics/t  HTTP/1.1',
  'POST  /topics/t HTTP/1.1',
  'POST\t/topics/t HTTP/1.1',
  ' POST /topics/t HTTP/1.1',
  'post /topics/t HTTP/1.1',
  'POST /topics/t',
  'POST /topics// HTTP/1.1',
  'POST /topics/ HTTP/1.1',
  'POST /topics/.. HTTP/1.1',
  'POST /topics/../topics/t HTTP/1.1',
  'POST /topics/%74 HTTP/1.1',
  'POST /topics/t%2e%2e HTTP/1.1',
  'POST /topics/t# HTTP/1.1',
  'POST /topics/t?acks=2 HTTP/1.1',
  'POST /topics/t?acks=all&key=a HTTP/1.1',
  'POST /topics/t?acks=%61ll HTTP/1.1',
  'POST /topics/t?acks=1&acks=all HTTP/1.1',
  'POST /topics/t? HTTP/1.1',
  'POST /topics/t/partitions/ HTTP/1.1',
  'POST /topics/t/partitions/01 HTTP/1.1',
  'POST /topics/t/partitions/-1 HTTP/1.1',
  'POST /topics/t/partitions/99999999 HTTP/1.1',
  'POST /topics/t/partitions/0/ HTTP/1.1',
  'POST http://127.0.0.1/topics/t HTTP/1.1',
  'POST * HTTP/1.1',
  'HEAD /topics/t HTTP/1.1',
  'OPTIONS /topics/t HTTP/1.1',
  'CONNECT /topics/t HTTP/1.1',
  'PRI * HTTP/2.0',
  '\x16\x03\x01\x02\x00\x01\x00',
]

const oddBytes = [0x00, 0x09, 0x0a, 0x0b, 0x0d, 0x20, 0x2c, 0x3a, 0x3b, 0x7f, 0x80, 0xff]

/** A good request, of headers in any order. */
export function plainRequest(random: Random): string {
  const body = 'x'.repeat(random.range(1, 20))
  const chosen = lines.filter((_line, index) => index < 2 || random.chance(0.5))
  chosen.push(`Content-Length: ${body.length}`)
  const shuffled = chosen
    .map(line => [random.next(), line] as const)
    .toSorted((a, b) => a[0] - b[0])
    .map(([, line]) => (random.chance(0.2) ? caseOf(line, random) : line))
  const first = random.pick(requestLines.slice(0, 6))
  return `${first}\r\n${shuffled.join('\r\n')}\r\n\r\n${body}`
}

/** One to three requests in a row, some of them changed, perhaps cut off. */
export function oddRequests(random: Random): Buffer {
  let text = ''
  const count = random.range(1, 3)
  for (let i = 0; i < count; i++) {
    let request = plainRequest(random)
    const changes = random.chance(0.4) ? 0 : random.range(1, 2)
    for (let change = 0; change < changes; change++) request = changed(request, random)
    text += request
  }
  if (random.chance(0.1)) text = text.slice(0, random.int(text.length))
  return Buffer.from(text, 'latin1')
}

function changed(request: string, random: Random): string {
  const at = random.int(request.length)
  const head = request.split('\r\n')
  switch (random.int(9)) {
    case 0:
      return request.slice(0, at) + String.fromCharCode(random.pick(oddBytes)) + request.slice(at)
    case 1:
      return request.slice(0, at) + request.slice(at + 1)
    case 2:
      return request.slice(0, at) + String.fromCharCode(random.int(256)) + request.slice(at + 1)
    case 3:
      head.splice(random.range(1, Math.max(1, head.length - 2)), 0, random.pick(evilLines))
      return head.join('\r\n')
    case 4:
      head[0] = random.pick(requestLines)
      return head.join('\r\n')
    case 5:
      head.splice(random.int(head.length), 1)
      return head.join('\r\n')
    case 6:
      return request.replace(/Content-Length: (\d+)/i, (_all, bytes: string) => {
        return `Content-Length: ${Number(bytes) + random.range(-2, 2)}`
      })
    case 7: {
      const odd = random.pick(['\n', '\r', '\r\r\n', '\n\r', ' \r\n', '\r\n ', '\r\n\r\n'])
      let skip = random.int(head.length)
      return request.replace(/\r\n/g, end => (skip-- === 0 ? odd : end))
    }
    default:
      return `${random.pick(['\r\n', '\n', ' ', '\0', 'POST '])}${request}`
  }
}

function caseOf(line: string, random: Random): string {
  const colon = line.indexOf(':')
  const name = line.slice(0, colon)
  return (random.chance(0.5) ? name.toLowerCase() : name.toUpperCase()) + line.slice(colon)
}
