/**
 * Preloaded into owner threads: asks the dispatcher for tasks as the owner's own code does, and tells the test what
 * came of it.
 */
import { getEnvironmentData, isMainThread, type MessagePort, workerData } from 'node:worker_threads'
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import type { FindRecordInput } from '../../src/contracts/find-record.ts'
import type { TaskRunner } from '../../src/contracts/tasks.ts'
import { encodeBatch } from '../../src/protocol/record-batch.ts'

export const answersOf = 'odradek-test-task-answers'

/** Index of the answer in the shared memory: how often it came. */
export const Answer = { found: 0, failed: 1, unexpected: 2 } as const

const answers = getEnvironmentData(answersOf)
const { hostPort } = (workerData ?? {}) as { readonly hostPort?: MessagePort }
if (!isMainThread && answers instanceof SharedArrayBuffer && hostPort !== undefined) {
  const counts = new Int32Array(answers)
  const tasks = Comlink.wrap<TaskRunner>(nodeEndpoint(hostPort))
  const batch = encodeBatch({ records: [{ key: null, value: Buffer.from('x') }] })
  const memory = new SharedArrayBuffer(batch.length)
  Buffer.from(memory).set(batch)
  const input: FindRecordInput = {
    memory,
    start: 0,
    length: batch.length,
    timestampMs: 0,
    fromOffset: 0,
  }
  const count = (index: number) => (): void => void Atomics.add(counts, index, 1)
  tasks
    .run('find-record', input)
    .then(count(Answer.found), count(Answer.failed))
    .finally(() => {
      tasks
        .run('recover-segment', { directory: '/no/such/directory' })
        .then(count(Answer.unexpected), count(Answer.failed))
    })
}
