/**
 * A TCP port of 127.0.0.1 that was free a moment ago, for tests of messages that must name a port, and of brokers that
 * come back on the same one. Everything else listens on port 0. It lies below those that systems give out by themselves
 * (32768 and up): one of them may be somebody's end of a connection when the broker is to have it again, and a client
 * that tries it while nobody listens may even be connected with itself.
 */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

const [portMin, portMax] = [20_000, 32_000]

export async function freePort(): Promise<number> {
  const port = randomInt(portMin, portMax)
  const server = createServer()
  server.listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch {
    return await freePort()
  }
  server.close()
  await once(server, 'close')
  return port
}
