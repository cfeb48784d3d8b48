/**
 * A client on a thread of its own: stores and reads one record after the other, acks=all, and counts its round trips in
 * shared memory, where a thread that never rests can see them.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { Admin, Producer } from '../../src/index.ts'

const { bootstrap, counter } = workerData as { bootstrap: string; counter: SharedArrayBuffer }
const count = new Int32Array(counter)
const admin = new Admin({ bootstrap })
await admin.createTopic({ name: 't' })
await admin.close()
const producer = new Producer({ bootstrap })
let stopped = false
parentPort?.once('message', () => {
  stopped = true
})
while (!stopped) {
  await producer.send('t', [{ value: 'x' }])
  Atomics.add(count, 0, 1)
  Atomics.notify(count, 0)
}
await producer.close()
