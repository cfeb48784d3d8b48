/** One append as a promise: waits for room, then for the backend's word. Dispatcher thread. */
import type { Acks, LogBackend, ProduceSink, RecordSource } from '../backend/log-backend.ts'
import { HttpProblem } from '../problem.ts'

/** Less than the time after which a client's own patience ends. */
const roomWaitMs = 10_000

export interface AppendCall {
  readonly topic: string
  readonly partition: number
  readonly acks: Acks
  readonly source: RecordSource
}

export interface Appended {
  /** Of `Errors`. */
  readonly errorCode: number
  /** -1 when it is not known. */
  readonly baseOffset: number
  readonly lastOffset: number
  readonly storedCount: number
}

/** Rejects with HttpProblem 503 when there is no room for it for ten seconds, or its client has gone meanwhile. */
export function append(
  backend: LogBackend,
  call: AppendCall,
  isClientGone: () => boolean,
): Promise<Appended> {
  return new Append(backend, call, isClientGone).run()
}

class Append implements ProduceSink {
  readonly #backend: LogBackend
  readonly #call: AppendCall
  readonly #isClientGone: () => boolean
  readonly #done = Promise.withResolvers<Appended>()
  #deadline: NodeJS.Timeout | undefined
  #unwait: (() => void) | null = null

  constructor(backend: LogBackend, call: AppendCall, isClientGone: () => boolean) {
    this.#backend = backend
    this.#call = call
    this.#isClientGone = isClientGone
  }

  run(): Promise<Appended> {
    this.#attempt()
    return this.#done.promise
  }

  onProduced(
    _tag: number,
    errorCode: number,
    baseOffset: number,
    lastOffset: number,
    storedCount: number,
  ): void {
    this.#done.resolve({ errorCode, baseOffset, lastOffset, storedCount })
  }

  #attempt(): void {
    const { topic, partition, acks, source } = this.#call
    if (this.#backend.produce(topic, partition, acks, source, this, 0)) {
      clearTimeout(this.#deadline)
      return
    }
    this.#unwait = this.#backend.whenRoom(() => {
      if (this.#isClientGone()) this.#giveUp()
      else this.#attempt()
    })
    this.#deadline ??= setTimeout(() => this.#giveUp(), roomWaitMs)
  }

  #giveUp(): void {
    this.#unwait?.()
    clearTimeout(this.#deadline)
    this.#done.reject(new HttpProblem(503, 'the broker is busy: try again in a moment', 50301))
  }
}
