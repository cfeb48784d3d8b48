/** Entry of the thread that `startBroker({ thread: true })` starts: it is the dispatcher, and starts the owners. */
import { parentPort } from 'node:worker_threads'
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import { type Broker, startBroker } from '../broker.ts'
import { ensure } from '../ring/ensure.ts'
import type { BrokerThread } from './contract.ts'

let broker: Broker | null = null

const thread: BrokerThread = {
  async start(options, onProgress) {
    broker = await startBroker({ ...options, onProgress: onProgress ?? undefined })
    const { bootstrap, httpUrl, dataDirectory, workers, startedInMs } = broker
    return { bootstrap, httpUrl, dataDirectory, workers, startedInMs }
  },
  async close() {
    await broker?.close()
  },
}

ensure(parentPort !== null, 'this file runs as a thread')
Comlink.expose(thread, nodeEndpoint(parentPort))
