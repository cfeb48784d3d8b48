/** Recognises peers that speak HTTP or TLS to the Kafka port, from the four bytes that should be a frame's size. */

const httpMethods = ['GET ', 'POST', 'PUT ', 'HEAD', 'DELE', 'OPTI', 'PATC', 'CONN', 'TRAC']
const httpSizes = new Set(httpMethods.map(method => Buffer.from(method, 'latin1').readInt32BE(0)))

export function looksLikeHttp(frameSize: number): boolean {
  return httpSizes.has(frameSize)
}

/** A complete HTTP answer that names the right port. */
export function httpHint(httpUrl: string | null): Buffer {
  const where = httpUrl === null ? 'HTTP is switched off here.' : `HTTP is served at ${httpUrl}`
  const body = `This is the Kafka port of odradek: it speaks the Kafka wire protocol. ${where}\n`
  return Buffer.from(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
  )
}
