/**
 * A TCP port of 127.0.0.1 that was free a moment ago, for tests of messages that must name a port. Everything else
 * listens on port 0: between the answer here and its use another process may take the port.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'

export async function freePort(): Promise<number> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
