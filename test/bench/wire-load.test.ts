/** The wire bench measures what it says: every record that the generator counts lies in the log, errors are errors. */
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type MeasuredServer, startServer } from '../../bench/server-process.ts'
import { type LoadResult, runLoadProcess } from '../../src/load/load-process.ts'
import type { WireLoadSettings } from '../../src/load/wire-generator.ts'
import { encodeResponse } from '../../src/load/wire-messages.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import {
  baseOffsetAt,
  batchBytesAt,
  isCrcValid,
  recordCountAt,
} from '../../src/protocol/record-batch.ts'

const benchDirectory = join(import.meta.dirname, '../../bench')
let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'odradek-bench-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** Ends by bytes, not by time: a window of a minute that is over after 2 MB. */
async function generate(settings: Partial<WireLoadSettings>): Promise<LoadResult> {
  const load = { seconds: 60, warmupSeconds: 0, payloadBytesMax: 2e6, ...settings }
  return await runLoadProcess('wire', load)
}

/** Walks a log file of whole batches: offsets must continue and every CRC hold. Returns the number of records. */
function countRecords(log: Uint8Array): number {
  let nextOffset = 0
  for (let at = 0; at < log.length; ) {
    const batchBytes = batchBytesAt(log, at)
    expect(baseOffsetAt(log, at)).toBe(nextOffset)
    expect(isCrcValid(log, at, batchBytes)).toBe(true)
    nextOffset += recordCountAt(log, at)
    at += batchBytes
  }
  return nextOffset
}

async function withFloor(use: (floor: MeasuredServer) => Promise<void>): Promise<void> {
  const floor = await startServer({
    kind: 'floor',
    directory: join(directory, 'floor'),
    gcProbe: false,
    odradekArguments: [],
    profileDirectory: null,
  })
  try {
    await use(floor)
  } finally {
    await floor.stop()
  }
}

test.for([
  { acks: 1, recordsPerBatch: 1, inFlight: 100 },
  { acks: -1, recordsPerBatch: 50, inFlight: 7 },
  { acks: 0, recordsPerBatch: 50, inFlight: 9 },
  { acks: 1, recordsPerBatch: 1000, inFlight: 3 },
] as const)('the floor stores every record the generator sends: %o', async settings => {
  await withFloor(async ({ port, pid }) => {
    const result = await generate({ ...settings, port, serverPid: pid })
    const stored = countRecords(readFileSync(join(directory, 'floor/data/floor.log')))
    expect(stored).toBe(result.messagesInAll)
    expect(result.messages).toBeGreaterThanOrEqual(2e6 / 200)
    expect(result.messages).toBeLessThanOrEqual(result.messagesInAll)
    expect(result.payloadBytes).toBe(result.messages * 200)
    expect(result.requests * settings.recordsPerBatch).toBe(result.messages)
  })
})

test('an error code in any answer fails the load', async () => {
  const answers = [Errors.NONE, Errors.NONE, Errors.KAFKA_STORAGE_ERROR].map((errorCode, id) =>
    answer(id, errorCode),
  )
  await expect(loadAgainst(Buffer.concat(answers))).rejects.toThrow(/KAFKA_STORAGE_ERROR/)
})

test('an answer out of order fails the load', async () => {
  await expect(loadAgainst(answer(1, Errors.NONE))).rejects.toThrow(/correlation id 1/)
})

test('a server that hangs up fails the load', async () => {
  await expect(loadAgainst(null)).rejects.toThrow(/after 0 answers/)
})

function answer(correlationId: number, errorCode: number): Buffer {
  const partition = {
    index: 0,
    errorCode,
    baseOffset: 0,
    logAppendTimeMs: -1,
    logStartOffset: 0,
    recordErrors: [],
    errorMessage: null,
    currentLeader: null,
  }
  return encodeResponse(Produce, 7, correlationId, {
    responses: [{ name: 'load', partitionResponses: [partition] }],
    throttleTimeMs: 0,
    nodeEndpoints: [],
  })
}

/** Runs a load against a server that says `bytes` to whatever it is asked; null: that hangs up. */
async function loadAgainst(bytes: Buffer | null): Promise<LoadResult> {
  const server = createServer(socket => {
    socket.on('error', () => undefined)
    socket.once('data', () => {
      if (bytes === null) socket.destroy()
      else socket.write(bytes)
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    return await generate({ port: (server.address() as AddressInfo).port })
  } finally {
    server.close()
  }
}

test('the floor has at most 100 lines', () => {
  const text = readFileSync(join(benchDirectory, 'floor-server.ts'), 'utf8')
  expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(100)
})
