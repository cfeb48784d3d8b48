/**
 * Sockets that read straight into memory of our choice. Dispatcher thread. The only file that touches the private
 * `_handle` of node:net: a server-side socket is re-wrapped with `onread` (Node 20 to 26, plain TCP). Where that does
 * not work (`probeDirectRead` finds out at start-up), and for TLS, the copying path feeds chunks from 'data' events.
 */
import net from 'node:net'

/** Takes a socket's bytes: `target()` is where the next read goes, `received(n)` says that n bytes are there. */
export interface ReadSink {
  target(): Buffer
  /** Returns false to stop reading until `resumeReading`. */
  received(n: number): boolean
  /** Copying path: a chunk of somebody else's memory, all of which the sink keeps. False stops reading. */
  chunk(bytes: Buffer): boolean
}

/** A peer we have said goodbye to may take so long to read the last bytes. */
const lingerMs = 250

export type ReadPath = 'direct' | 'copy'

interface PrivateHandle {
  useUserBuffer?(view: Uint8Array): void
  /** Bytes of the write under way that the system has not taken yet. */
  readonly writeQueueSize?: number
}
interface SocketInternals {
  _handle: PrivateHandle | null
  /** Bytes handed to the handle since the start. */
  readonly _bytesDispatched?: number
  /** Whose connection count the socket lowers when it is destroyed. */
  _server: net.Server | null
}

/**
 * Puts `sink` behind an accepted socket (of a server with `pauseOnConnect`) and starts reading.
 * @param allowHalfOpen the peer may end its side and still get answers; the owner ends the other one
 */
export function attachSink(
  accepted: net.Socket,
  sink: ReadSink,
  path: ReadPath,
  allowHalfOpen = false,
): net.Socket {
  if (path === 'copy') {
    accepted.on('data', (bytes: Buffer) => {
      if (!sink.chunk(bytes)) accepted.pause()
    })
    accepted.resume()
    return accepted
  }
  const onread = { buffer: () => sink.target(), callback: (n: number) => sink.received(n) }
  return adopt(accepted, { allowHalfOpen, onread })
}

/** Of all sockets that were detached: what is read is copied at once. */
const passing = Buffer.allocUnsafeSlow(64 * 1024)

/**
 * Ends the work of a sink: a socket that reads as any other, beginning with `unread`. Everything written must have been
 * taken, reading must be stopped, and this must not be called from within the sink. The old socket is an empty shell.
 */
export function detachSink(attached: net.Socket, path: ReadPath, unread: Buffer): net.Socket {
  let socket = attached
  if (path === 'copy') {
    socket.removeAllListeners('data')
    // As if nobody had read yet: a listener of 'data' starts reading again.
    ;(socket as unknown as { readableFlowing: boolean | null }).readableFlowing = null
  } else {
    // The handle goes on reading into memory of ours for whoever reads it through the socket.
    const callback = (n: number): boolean => socket.push(Buffer.from(passing.subarray(0, n)))
    socket = adopt(attached, { allowHalfOpen: true, onread: { buffer: passing, callback } })
  }
  if (unread.length > 0) socket.unshift(unread)
  return socket
}

interface AdoptOptions {
  readonly allowHalfOpen: boolean
  readonly onread: {
    readonly buffer: Buffer | (() => Buffer)
    readonly callback: (n: number) => boolean
  }
}

/** A new socket around the handle of another one, which is left empty. */
function adopt(from: net.Socket, options: AdoptOptions): net.Socket {
  const internals = from as unknown as SocketInternals
  const handle = internals._handle
  internals._handle = null
  const withHandle = { ...options, handle } as unknown as net.SocketConstructorOpts
  const socket = new net.Socket(withHandle)
  // Without this the server waits for the emptied first socket for ever when it closes.
  const adopted = socket as unknown as SocketInternals
  adopted._server = internals._server
  internals._server = null
  return socket
}

/** Points the next read at another place; needed when the promised target changed while reading was stopped. */
export function retarget(socket: net.Socket, path: ReadPath, view: Uint8Array): void {
  if (path === 'copy') return
  const handle = (socket as unknown as SocketInternals)._handle
  handle?.useUserBuffer?.(view)
}

/** Bytes the system has taken for sending. Grows while one large write is under way, which no public count does. */
export function takenBytes(socket: net.Socket): number {
  const { _handle: handle, _bytesDispatched: dispatched } = socket as unknown as SocketInternals
  const queued = handle?.writeQueueSize
  if (dispatched === undefined || queued === undefined) {
    return socket.bytesWritten - socket.writableLength
  }
  return dispatched - queued
}

/** Sends what is written, then closes; in between the peer can still be read from. */
export function endAndLinger(socket: net.Socket): void {
  socket.end(() => setTimeout(() => socket.destroy(), lingerMs))
}

export function resumeReading(socket: net.Socket): void {
  socket.resume()
}

/** Finds out with one loopback connection whether sockets here can read into a SharedArrayBuffer. */
export function probeDirectRead(): Promise<ReadPath> {
  const { promise, resolve } = Promise.withResolvers<ReadPath>()
  const memory = Buffer.from(new SharedArrayBuffer(16))
  const server = net.createServer({ pauseOnConnect: true })
  let client: net.Socket | null = null
  const finish = (path: ReadPath): void => {
    client?.destroy()
    server.close()
    clearTimeout(timer)
    resolve(path)
  }
  const timer = setTimeout(() => finish('copy'), 500)
  const sink: ReadSink = {
    target: () => memory,
    received: n => {
      finish(n === 4 && memory.readUInt32BE(0) === 0x6f647261 ? 'direct' : 'copy')
      return true
    },
    chunk: () => false,
  }
  server.on('connection', accepted => {
    try {
      const socket = attachSink(accepted, sink, 'direct')
      socket.on('error', () => finish('copy'))
      const handle = (socket as unknown as SocketInternals)._handle
      if (typeof handle?.useUserBuffer !== 'function') finish('copy')
    } catch {
      finish('copy')
    }
  })
  server.on('error', () => finish('copy'))
  server.listen(0, '127.0.0.1', () => {
    const address = server.address() as net.AddressInfo
    client = net.connect(address.port, address.address)
    client.on('error', () => finish('copy'))
    client.write(Buffer.from([0x6f, 0x64, 0x72, 0x61]))
  })
  return promise
}
