/**
 * Reads request bodies into memory: each counted while it streams in, all together within one budget. Dispatcher
 * thread.
 *
 * A body grows in one buffer, by doubling: what was announced but not sent costs nothing, and a body that comes in
 * pieces of one byte costs no more than one that comes at once.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { HttpProblem } from '../problem.ts'
import type { ByteBudget } from './byte-budget.ts'

const firstBytes = 64 * 1024
const empty: Buffer = Buffer.alloc(0)

/** A body in memory; `release` once it is not looked at any more. */
export class Body {
  readonly bytes: Buffer
  readonly #budget: ByteBudget
  #held: number

  /** @param held bytes of the budget that go back with it */
  constructor(bytes: Buffer, held: number, budget: ByteBudget) {
    this.bytes = bytes
    this.#held = held
    this.#budget = budget
  }

  release(): void {
    this.#budget.give(this.#held)
    this.#held = 0
  }
}

export class RequestBodies {
  readonly budget: ByteBudget
  /** Requests whose client wants to hear "100 Continue" before it sends the body. */
  readonly #awaited = new WeakMap<IncomingMessage, ServerResponse>()

  constructor(budget: ByteBudget) {
    this.budget = budget
  }

  /** Lets a body that will be refused stay where it is: "100 Continue" is said when reading begins. */
  holdContinue(server: Server): void {
    server.on('checkContinue', (request, response) => {
      this.#awaited.set(request, response)
      server.emit('request', request, response)
    })
  }

  /**
   * Reads the whole body.
   * Rejects with HttpProblem 413 (more than `bytesMax`), 503 (no memory now) or 400 (the client has gone). What is left
   * of the body is then read and dropped, so that the client sees the answer instead of a reset.
   */
  read(request: IncomingMessage, bytesMax: number): Promise<Body> {
    const { promise, resolve, reject } = Promise.withResolvers<Body>()
    const announced = request.headers['content-length']
    const length = announced === undefined ? -1 : Number(announced)
    if (length > bytesMax) {
      this.#drop(request)
      reject(tooLarge(bytesMax))
      return promise
    }
    const reading = new Reading(this.budget, bytesMax, length)
    const onData = (chunk: Buffer): void => {
      const problem = reading.add(chunk)
      if (problem !== null) fail(problem)
    }
    const onEnd = (): void => {
      stop()
      resolve(reading.body())
    }
    const onGone = (): void => fail(new HttpProblem(400, 'the body ended before its end'))
    const stop = (): void => {
      request.off('data', onData).off('end', onEnd).off('error', onGone).off('close', onGone)
    }
    const fail = (problem: HttpProblem): void => {
      stop()
      reading.abandon()
      this.#drop(request)
      reject(problem)
    }
    request.on('data', onData).on('end', onEnd).on('error', onGone).on('close', onGone)
    this.#awaited.get(request)?.writeContinue()
    return promise
  }

  #drop(request: IncomingMessage): void {
    if (!this.#awaited.has(request)) request.on('error', () => {}).resume()
  }
}

function tooLarge(bytesMax: number): HttpProblem {
  return new HttpProblem(413, `the body is larger than ${bytesMax} bytes: send it in parts`, 41301)
}

export function noMemory(): HttpProblem {
  return new HttpProblem(503, 'too many requests with large bodies: try again in a moment', 50301)
}

/** One body on its way in. */
class Reading {
  readonly #budget: ByteBudget
  readonly #bytesMax: number
  /** -1: not announced. */
  readonly #length: number
  #bytes: Buffer = empty
  #fill = 0

  constructor(budget: ByteBudget, bytesMax: number, length: number) {
    this.#budget = budget
    this.#bytesMax = bytesMax
    this.#length = length
  }

  /** @returns why the body cannot be taken */
  add(chunk: Buffer): HttpProblem | null {
    const fill = this.#fill + chunk.length
    if (fill > this.#bytesMax) return tooLarge(this.#bytesMax)
    if (fill > this.#bytes.length) {
      const capacity = this.#capacityFor(fill)
      const more = capacity - this.#bytes.length
      if (!this.#budget.take(more, this.#bytes.length)) return noMemory()
      if (chunk.length === this.#length) {
        // All at once, the common case: nothing to copy.
        this.#bytes = chunk
        this.#fill = fill
        return null
      }
      const grown = Buffer.allocUnsafeSlow(capacity)
      this.#bytes.copy(grown, 0, 0, this.#fill)
      this.#bytes = grown
    }
    chunk.copy(this.#bytes, this.#fill)
    this.#fill = fill
    return null
  }

  body(): Body {
    return new Body(this.#bytes.subarray(0, this.#fill), this.#bytes.length, this.#budget)
  }

  abandon(): void {
    this.#budget.give(this.#bytes.length)
    this.#bytes = empty
  }

  #capacityFor(fill: number): number {
    const most = this.#length < 0 ? this.#bytesMax : this.#length
    return Math.min(most, Math.max(fill, firstBytes, this.#bytes.length * 2))
  }
}
