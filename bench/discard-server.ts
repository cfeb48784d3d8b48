/**
 * What an HTTP broker is measured against: a `node:http` server that reads the body, throws it away and answers with as
 * many bytes as odradek does. It stores nothing: whoever handles HTTP with node's own parser cannot be faster.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const answer = '{"topic":"load","partition":0,"base_offset":"1000000","count":1,"durable":true}'
const headers = {
  'Content-Type': 'application/json; charset=utf-8',
  'Content-Length': String(answer.length),
}

const server = createServer((request, response) => {
  request.resume()
  request.once('end', () => response.writeHead(200, headers).end(answer))
})
server.listen(0, '127.0.0.1', () => {
  console.log('ready http=127.0.0.1:%d', (server.address() as AddressInfo).port)
})
