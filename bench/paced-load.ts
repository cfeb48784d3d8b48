/**
 * An open-loop producer: requests leave when they are due, whatever the answers do, and a latency runs from the due
 * time, so that a server that stalls is charged for everything that had to wait (no coordinated omission). One
 * connection, one partition.
 *
 *   due     | 0 | 1 | 2 | 3 | 4 | 5 | 6 |          every 1/rate s
 *   answers     0   1 ------stall------ 2 3 4 5    2, 3, 4 and 5 are charged with the stall
 */
import { createConnection, type Socket } from 'node:net'
import { Latencies } from '../src/load/latencies.ts'
import { decodeResponse, encodeRequest } from '../src/load/wire-messages.ts'
import { produceVersion } from '../src/load/wire-produce.ts'
import { encodeBatch } from '../src/protocol/encode-batch.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { Produce } from '../src/protocol/messages/produce.ts'

export interface PacedSettings {
  readonly host: string
  readonly port: number
  readonly topic: string
  readonly acks: -1 | 1
  readonly recordsPerBatch: number
  readonly recordBytes: number
  readonly requestsPerSecond: number
  readonly seconds: number
}

export interface PacedResult {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
}

const correlationIdPosition = 8

/**
 * Sends for `seconds` and waits for all answers; adds their latencies to `all` as well. Rejects on any error code or a
 * lost connection.
 */
export async function pacedLoad(settings: PacedSettings, all: Latencies): Promise<PacedResult> {
  const latencies = new Latencies()
  const frame = encodeFrame(settings)
  const socket = createConnection({ host: settings.host, port: settings.port, noDelay: true })
  const answers = new Answers(latencies, settings.requestsPerSecond)
  const total = Math.floor(settings.seconds * settings.requestsPerSecond)
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('the server hung up')))
    socket.on('data', chunk => {
      try {
        if (answers.take(chunk) === total) resolve()
      } catch (error) {
        reject(error as Error)
      }
    })
    socket.once('connect', () => {
      answers.startMs = performance.now()
      sendDue(socket, frame, total, answers)
    })
  })
  socket.removeAllListeners('close').destroy()
  all.add(latencies)
  return {
    requests: total,
    p50Ms: latencies.percentileMs(0.5),
    p99Ms: latencies.percentileMs(0.99),
    p999Ms: latencies.percentileMs(0.999),
  }
}

/** Every millisecond: what has become due since. */
function sendDue(socket: Socket, frame: Buffer, total: number, answers: Answers): void {
  let sent = 0
  const timer = setInterval(() => {
    const due = Math.min(total, answers.dueBy(performance.now()))
    socket.cork()
    for (; sent < due; sent++) {
      const request = Buffer.from(frame)
      request.writeInt32BE(sent, correlationIdPosition)
      socket.write(request)
    }
    socket.uncork()
    if (sent === total || socket.destroyed) clearInterval(timer)
  }, 1)
}

class Answers {
  readonly #latencies: Latencies
  readonly #perMs: number
  #bytes: Buffer = Buffer.alloc(0)
  #count = 0
  startMs = 0

  constructor(latencies: Latencies, requestsPerSecond: number) {
    this.#latencies = latencies
    this.#perMs = requestsPerSecond / 1000
  }

  dueBy(nowMs: number): number {
    return Math.floor((nowMs - this.startMs) * this.#perMs)
  }

  /** Returns how many answers have come so far. */
  take(chunk: Buffer): number {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    const nowMs = performance.now()
    let at = 0
    while (this.#bytes.length - at >= 4) {
      const frameBytes = 4 + this.#bytes.readInt32BE(at)
      if (this.#bytes.length - at < frameBytes) break
      this.#check(this.#bytes.subarray(at, at + frameBytes))
      // The request became due when the first tick after its time could have sent it.
      const dueMs = this.startMs + (this.#count + 1) / this.#perMs
      this.#latencies.observe(Math.max(0, nowMs - dueMs))
      this.#count++
      at += frameBytes
    }
    this.#bytes = this.#bytes.subarray(at)
    return this.#count
  }

  #check(frame: Buffer): void {
    const { correlationId, response } = decodeResponse(Produce, produceVersion, frame)
    const errorCode = response.responses[0]!.partitionResponses[0]!.errorCode
    if (correlationId === this.#count && errorCode === Errors.NONE) return
    throw new Error(`answer ${this.#count}: id ${correlationId}, ${errorName(errorCode)}`)
  }
}

function encodeFrame(settings: PacedSettings): Buffer {
  const value = Buffer.alloc(settings.recordBytes, 'paced ')
  const records = Array.from({ length: settings.recordsPerBatch }, () => ({ key: null, value }))
  const batch = encodeBatch({ records, timestampMs: Date.now() })
  return encodeRequest(Produce, produceVersion, 0, {
    transactionalId: null,
    acks: settings.acks,
    timeoutMs: 30_000,
    topicData: [{ name: settings.topic, partitionData: [{ index: 0, records: batch }] }],
  })
}
