/**
 * One attacker: a connection that sends case after case and compares what comes back with what is owed. A connection
 * that ends is replaced; one whose answer may take long is parked, so that the next case does not wait for it.
 */
import { once } from 'node:events'
import net from 'node:net'
import type { Case } from './cases.ts'
import { type Expectation, expectationOf, faultIn } from './oracle.ts'

/** A request that nothing may hold up: proof that a connection goes on behind one that is not answered. */
const ping = Buffer.from('0000000a00120000075bcd15ffff', 'hex')
const pingCorrelationId = 0x75bcd15

export class Finding extends Error {
  readonly found: Case | null

  constructor(why: string, found: Case | null = null) {
    super(why)
    this.found = found
  }
}

/** A socket and what has come in. */
class Line {
  readonly socket: net.Socket
  readonly frames: Buffer[] = []
  isClosed = false
  #chunks: Buffer[] = []
  #bytes = 0
  #wake: () => void = () => {}

  private constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('data', chunk => this.#take(chunk))
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      this.isClosed = true
      this.#wake()
    })
  }

  static async open(port: number): Promise<Line> {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    const line = new Line(socket)
    await Promise.race([once(socket, 'connect'), once(socket, 'close')])
    return line
  }

  /** Resolves when something has come, or the connection is gone, or after `timeoutMs`. */
  async change(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, timeoutMs)
    this.#wake = resolve
    await promise
    clearTimeout(timer)
  }

  #take(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytes += chunk.length
    while (this.#bytes >= 4) {
      const [first] = this.#chunks
      const all = first.length >= 4 && this.#chunks.length === 1 ? first : this.#joined()
      const end = 4 + all.readInt32BE(0)
      if (this.#bytes < end) break
      this.frames.push(all.subarray(4, end))
      this.#chunks = end === all.length ? [] : [all.subarray(end)]
      this.#bytes -= end
    }
    this.#wake()
  }

  /** A frame of many chunks is put together once it is whole, not with every chunk. */
  #joined(): Buffer {
    const [first] = this.#chunks
    const isShort = first.length < 4 || this.#bytes >= 4 + first.readInt32BE(0)
    if (!isShort) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }
}

export interface AttackerOptions {
  readonly port: number
  readonly frameBytesMax: number
  /** How long an answer that may take long is waited for. */
  readonly parkAfterMs: number
  /** How long any other is waited for: a bound for machines under load. */
  readonly answerTimeoutMs: number
  /** Takes a connection whose answer is still owed. */
  park(end: () => void): void
}

export class Attacker {
  /** What is under way: where the broker ends, one of these ended it. */
  current: Case | null = null
  largestAnswerBytes = 0
  answers = 0
  closes = 0
  parked = 0
  readonly #options: AttackerOptions
  #line: Line | null = null

  constructor(options: AttackerOptions) {
    this.#options = options
  }

  /** @throws Finding when the broker does what it must not. */
  async attack(one: Case): Promise<void> {
    this.current = one
    const { port, frameBytesMax } = this.#options
    const line = this.#line === null || this.#line.isClosed ? await Line.open(port) : this.#line
    this.#line = null
    if (line.isClosed) throw new Finding('the broker takes no connection', one)
    const expected = expectationOf(one.bytes, frameBytesMax)
    const isPinged = !expected.closes && !expected.waits && expected.mayClose
    line.socket.write(isPinged ? Buffer.concat([one.bytes, ping]) : one.bytes)
    const isOver = await this.#watch(line, one, expected, isPinged)
    // A refused acks=0 may end its connection later.
    const isReusable = isOver && !line.isClosed && !expected.waits && !expected.mayClose
    if (isReusable) this.#line = line
    else this.#leave(line, isOver)
    this.current = null
  }

  end(): void {
    this.#line?.socket.destroy()
    this.#line = null
  }

  #leave(line: Line, isOver: boolean): void {
    const end = () => line.socket.destroy()
    if (isOver || line.isClosed) end()
    else this.#options.park(end)
  }

  /** False when answers are still owed and may come later. */
  async #watch(line: Line, one: Case, expected: Expectation, isPinged: boolean): Promise<boolean> {
    const { closes, mayClose, mayPark } = expected
    const { parkAfterMs, answerTimeoutMs } = this.#options
    const wanted = expected.answers.length + (isPinged ? 1 : 0)
    const startedMs = performance.now()
    for (let seen = 0; ; ) {
      for (; seen < line.frames.length; seen++) this.#check(line.frames[seen], seen, one, expected)
      const isAnswered = seen >= wanted
      if (line.isClosed) {
        if (!closes && !mayClose && !isAnswered) throw new Finding('no answer, but closed', one)
        this.closes++
        break
      }
      if (isAnswered && !closes) break
      const leftMs = (mayPark ? parkAfterMs : answerTimeoutMs) - elapsed(startedMs)
      if (leftMs > 0) await line.change(leftMs)
      else if (mayPark) {
        this.parked++
        return false
      } else throw new Finding(closes ? 'not closed' : 'not answered', one)
    }
    line.frames.length = 0
    return true
  }

  #check(frame: Buffer, index: number, one: Case, { answers, mayClose }: Expectation): void {
    this.largestAnswerBytes = Math.max(this.largestAnswerBytes, frame.length)
    this.answers++
    const owed = answers[index]
    if (owed === undefined) {
      const isPong = mayClose && frame.length > 6 && frame.readInt32BE(0) === pingCorrelationId
      if (!isPong) throw new Finding(`an answer nobody asked for: ${hexOf(frame)}`, one)
      return
    }
    const fault = faultIn(frame, owed)
    if (fault !== null) throw new Finding(`wrong answer: ${fault}: ${hexOf(frame)}`, one)
  }
}

function elapsed(sinceMs: number): number {
  return performance.now() - sinceMs
}

export function hexOf(bytes: Buffer, most = 2000): string {
  const hex = bytes.subarray(0, most).toString('hex')
  return bytes.length > most ? `${hex}... (${bytes.length} bytes)` : hex
}
