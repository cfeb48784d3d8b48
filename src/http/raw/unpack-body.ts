/**
 * Bodies that came with `Content-Encoding: gzip`: unpacked by a task of the pool, at most a few at once, up to a limit
 * that no ratio of compression gets around. Dispatcher thread.
 */
import type { GunzipInput, Gunzipped } from '../../contracts/gunzip.ts'
import type { TaskPool } from '../../task-pool.ts'
import { echoed, HttpProblem } from '../problem.ts'
import { Body, noMemory, type RequestBodies } from './request-bodies.ts'

/** The pool has other work: reads that somebody waits for. */
const atOnceMax = 2
const waitingMax = 64

export class BodyUnpacker {
  readonly #tasks: Pick<TaskPool, 'run'>
  readonly #bodies: RequestBodies
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(tasks: Pick<TaskPool, 'run'>, bodies: RequestBodies) {
    this.#tasks = tasks
    this.#bodies = bodies
  }

  /**
   * @param encoding the Content-Encoding header
   * @returns a body in place of `packed`, which is released. Rejects with HttpProblem 413, 400 or 503.
   */
  async unpack(packed: Body, encoding: string | undefined, bytesMax: number): Promise<Body> {
    if (!isGzip(encoding)) return packed
    try {
      if (this.#waiting.length >= waitingMax) throw noMemory()
      const unpacked = await this.#gunzip({ bytes: packed.bytes, bytesMax })
      if ('message' in unpacked) throw unpackProblem(unpacked, bytesMax)
      const { buffer, byteOffset, length } = unpacked.bytes
      if (!this.#bodies.budget.take(length)) throw noMemory()
      return new Body(Buffer.from(buffer, byteOffset, length), length, this.#bodies.budget)
    } finally {
      packed.release()
    }
  }

  async #gunzip(input: GunzipInput): Promise<Gunzipped> {
    if (this.#running === atOnceMax) {
      await new Promise<void>(resolve => this.#waiting.push(resolve))
    } else this.#running++
    try {
      return await this.#tasks.run<Gunzipped>('tasks/gunzip', input)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running--
      else next()
    }
  }
}

/** @throws HttpProblem 415 for an encoding that is not taken; call it before the body is read */
export function isGzip(encoding: string | undefined): boolean {
  const name = encoding?.trim().toLowerCase() ?? 'identity'
  if (name === 'gzip' || name === 'x-gzip') return true
  if (name === 'identity' || name === '') return false
  throw new HttpProblem(415, `Content-Encoding ${echoed(name)}: only gzip is taken`, 41502)
}

function unpackProblem(failed: Extract<Gunzipped, { message: string }>, bytesMax: number) {
  if (failed.isTooLarge) {
    const why = `the body is larger than ${bytesMax} bytes once it is unpacked: send it in parts`
    return new HttpProblem(413, why, 41301)
  }
  return new HttpProblem(400, `the body is no valid gzip: ${failed.message}`)
}
