/**
 * A broker whose dispatcher has a thread of its own, so that a program that computes cannot stall it. Runs in the
 * program's thread.
 *
 *   program ── comlink ──▶ broker thread (dispatcher) ──▶ owner threads
 */
import { Worker } from 'node:worker_threads'
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import type { BrokerOptions, RunningBroker } from '../broker.ts'
import { workerUrl } from '../worker-url.ts'
import type { BrokerFacts, BrokerThread } from './contract.ts'

type Control = Comlink.Remote<BrokerThread>

/** What `startBroker({ thread: true })` resolves to. */
export class ThreadedBroker implements RunningBroker {
  readonly bootstrap: string
  readonly httpUrl: string | null
  readonly dataDirectory: string
  readonly workers: number
  readonly startedInMs: number
  /**
   * Resolves when the thread has ended: to null after `close`, to the error that ended it otherwise. Records that were
   * acknowledged are safe then as after a crash of the process.
   */
  readonly exited: Promise<Error | null>
  readonly #control: Control
  readonly #worker: Worker
  #closing: Promise<void> | null = null

  /** @internal use `startBroker` */
  constructor(facts: BrokerFacts, worker: Worker, control: Control, exited: Promise<Error | null>) {
    this.bootstrap = facts.bootstrap
    this.httpUrl = facts.httpUrl
    this.dataDirectory = facts.dataDirectory
    this.workers = facts.workers
    this.startedInMs = facts.startedInMs
    this.#worker = worker
    this.#control = control
    this.exited = exited.then(error => (this.#closing === null ? error : null))
  }

  /** As `Broker.close`, and ends the thread. Does nothing when the thread has ended before. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    try {
      await Promise.race([this.#control.close(), this.exited])
    } finally {
      await this.#worker.terminate()
    }
  }
}

/** @internal `startBroker({ thread: true })`. Rejects as `startBroker` does. */
export async function startThreadedBroker(options: BrokerOptions): Promise<ThreadedBroker> {
  const { thread: _, onProgress, ...rest } = options
  const worker = new Worker(workerUrl('broker-thread'), { name: 'odradek' })
  const exited = exitOf(worker)
  const control = Comlink.wrap<BrokerThread>(nodeEndpoint(worker))
  try {
    const progress = onProgress === undefined ? null : Comlink.proxy(onProgress)
    const facts = await Promise.race([control.start(rest, progress), diedEarly(exited)])
    return new ThreadedBroker(facts, worker, control, exited)
  } catch (error) {
    await worker.terminate()
    throw error
  }
}

function exitOf(worker: Worker): Promise<Error | null> {
  const { promise, resolve } = Promise.withResolvers<Error | null>()
  let failure: Error | null = null
  worker.once('error', error => {
    failure = error as Error
  })
  worker.once('exit', code => {
    resolve(failure ?? new Error(`the broker's thread has ended with code ${code}`))
  })
  return promise
}

async function diedEarly(exited: Promise<Error | null>): Promise<never> {
  throw (await exited) ?? new Error('the broker was closed while it started')
}
