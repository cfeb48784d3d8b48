/**
 * Producing side of the load generator. Requests are encoded once, before the run, into a tape; a run only patches
 * correlation ids, writes stretches of the tape and checks answers. Like librdkafka it keeps many requests in flight
 * on a connection and sends whatever the window allows in one write.
 *
 *   tape   | frame 0 | frame 1 | ... | frame n-1 |      frame k goes out as correlation id k, k+n, k+2n, ...
 *               acked ──▲      sent ──▲                 never more than `inFlight` apart, so no frame that is still on
 *                                                       its way is patched
 *
 * With acks=0 nothing is answered: every `framesPerAck`-th frame asks for acks=1, and its answer stands for the stretch
 * before it (a partition's appends are in order). That counts what the server stored, not what fits its socket buffers.
 */
import { createConnection, type Socket } from 'node:net'
import { Errors, errorName } from '../protocol/errors.ts'
import { Produce } from '../protocol/messages/produce.ts'
import { encodeBatch } from '../protocol/record-batch.ts'
import type { Acks, LoadWindow, Totals } from './load-window.ts'
import { messageBytes } from './message-text.ts'
import { decodeResponse, encodeRequest, encodeResponse } from './wire-messages.ts'

/** What librdkafka up to 2.10 (kcat) sends; floor-server.ts speaks no other. */
export const produceVersion = 7
const correlationIdPosition = 8
const tapeBytesMin = 4 * 1024 * 1024

export interface ProduceSettings {
  readonly host: string
  readonly port: number
  readonly topic: string
  readonly partitionCount: number
  /** Where the round over the partitions starts: connections that start apart do not walk in step. */
  readonly firstPartition: number
  readonly recordsPerBatch: number
  readonly recordBytes: number
  readonly acks: Acks
  /** Requests in flight on a connection; 0: `inFlightOf` the batch. */
  readonly inFlight: number
}

const inFlightBytes = 4e6
const inFlightMax = 1024

/**
 * Requests in flight on a connection. librdkafka sends whatever its queue holds, up to 100,000 records; this is less:
 * about 4 MB, at most 1,024 requests. With few in flight acks=all would time the disk's latency, not the broker.
 */
export function inFlightOf(recordsPerBatch: number, recordBytes: number): number {
  const requests = Math.floor(inFlightBytes / (recordsPerBatch * recordBytes))
  return Math.max(4, Math.min(inFlightMax, requests))
}

/** Requests encoded ahead of the run. */
class Tape {
  readonly bytes: Buffer
  /** Where frame k starts; one more entry for the end. */
  readonly starts: number[]
  readonly frameCount: number
  /** Bytes of a frame: a few more than the batch in it. */
  readonly frameBytes: number

  constructor(settings: ProduceSettings, framesPerAck: number, framesInFlight: number) {
    this.frameBytes = encodeFrame(settings, settings.acks, 0, 0).length
    const wanted = Math.max(framesInFlight * 2, Math.ceil(tapeBytesMin / this.frameBytes))
    this.frameCount = Math.ceil(wanted / framesPerAck) * framesPerAck
    const frames: Buffer[] = []
    this.starts = [0]
    for (let frame = 0; frame < this.frameCount; frame++) {
      const asks = (frame + 1) % framesPerAck === 0
      const acks = settings.acks === 0 && asks ? 1 : settings.acks
      const partition = (settings.firstPartition + frame) % settings.partitionCount
      frames.push(encodeFrame(settings, acks, partition, frame))
      this.starts.push(this.starts[frame]! + frames[frame]!.length)
    }
    this.bytes = Buffer.concat(frames)
  }
}

function encodeFrame(settings: ProduceSettings, acks: number, index: number, seed: number): Buffer {
  const records = Array.from({ length: settings.recordsPerBatch }, (_, record) => ({
    key: null,
    value: messageBytes(settings.recordBytes, seed * settings.recordsPerBatch + record),
  }))
  return encodeRequest(Produce, produceVersion, 0, {
    transactionalId: null,
    acks,
    timeoutMs: 30_000,
    topicData: [
      {
        name: settings.topic,
        partitionData: [{ index, records: encodeBatch({ records, timestampMs: Date.now() }) }],
      },
    ],
  })
}

function encodeAnswer(settings: ProduceSettings, errorCode: number): Buffer {
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
  return encodeResponse(Produce, produceVersion, 0, {
    responses: [{ name: settings.topic, partitionResponses: [partition] }],
    throttleTimeMs: 0,
    nodeEndpoints: [],
  })
}

/** One connection that keeps its window full until `window` ends, then drains. */
export class ProduceLoad {
  readonly #settings: ProduceSettings
  readonly #window: LoadWindow
  readonly #totals: Totals
  readonly #tape: Tape
  /** When each frame of the tape was last sent. */
  readonly #sentMs: Float64Array
  readonly #framesPerAck: number
  readonly #framesInFlightMax: number
  readonly #answer = Buffer.allocUnsafeSlow(64 * 1024)
  readonly #answerBytes: number
  readonly #errorPosition: number
  #answerEnd = 0
  #lastAnswer: Buffer = Buffer.alloc(0)
  #framesSent = 0
  #framesAcked = 0
  #sending = true
  #socket: Socket | null = null
  #finish: (error?: Error) => void = () => undefined

  /** `totals` may be shared between connections: each adds what it was answered. */
  constructor(settings: ProduceSettings, window: LoadWindow, totals: Totals) {
    this.#settings = settings
    this.#window = window
    this.#totals = totals
    const { acks, recordsPerBatch, recordBytes } = settings
    const inFlight = settings.inFlight || inFlightOf(recordsPerBatch, recordBytes)
    this.#framesPerAck = acks === 0 ? inFlight : 1
    // Whole stretches only, so that the last frame sent always has an answer.
    this.#framesInFlightMax = inFlight * (acks === 0 ? 4 : 1)
    this.#tape = new Tape(settings, this.#framesPerAck, this.#framesInFlightMax)
    this.#sentMs = new Float64Array(this.#tape.frameCount)
    // Where the error code lies is asked of the codec: the first byte that an error changes.
    const [good, bad] = [encodeAnswer(settings, 0), encodeAnswer(settings, 0x0101)]
    this.#answerBytes = good.length
    this.#errorPosition = good.findIndex((byte, at) => byte !== bad[at])
  }

  get #messagesSent(): number {
    return this.#framesSent * this.#settings.recordsPerBatch
  }

  /** Resolves when the window has ended and every request was answered; rejects on any error code or lost answer. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#finish = error => {
        this.#finish = () => undefined
        this.#socket?.destroy()
        if (error === undefined) resolve()
        else reject(error)
      }
      const { host, port } = this.#settings
      const onread = {
        buffer: () => this.#answer.subarray(this.#answerEnd),
        callback: (byteCount: number) => this.#onAnswers(byteCount),
      }
      this.#socket = createConnection({ host, port, noDelay: true, onread })
      this.#socket.on('connect', () => this.#send())
      this.#socket.on('error', error => {
        this.#finish(new Error(`${error.message} after ${this.#framesAcked} answers`))
      })
      this.#socket.on('close', () => {
        this.#finish(new Error(`the server hung up after ${this.#framesAcked} answers`))
      })
    })
  }

  #onAnswers(byteCount: number): boolean {
    try {
      this.#takeAnswers(byteCount)
      if (this.#sending) this.#sending = this.#window.advance(this.#totals)
      if (this.#sending) this.#send()
      else if (this.#framesAcked === this.#framesSent) {
        this.#checkLastOffset()
        this.#finish()
      }
    } catch (error) {
      this.#finish(error as Error)
    }
    return true
  }

  #send(): void {
    const room = this.#framesInFlightMax - (this.#framesSent - this.#framesAcked)
    if (room > 0) this.#write(room)
  }

  /** Writes the next `count` frames: one write, two where the tape wraps. */
  #write(count: number): void {
    const { bytes, starts, frameCount } = this.#tape
    const nowMs = performance.now()
    while (count > 0) {
      const first = this.#framesSent % frameCount
      const stretch = Math.min(count, frameCount - first)
      for (let frame = first; frame < first + stretch; frame++) {
        const id = (this.#framesSent + frame - first) | 0
        bytes.writeInt32BE(id, starts[frame]! + correlationIdPosition)
      }
      this.#sentMs.fill(nowMs, first, first + stretch)
      this.#socket!.write(bytes.subarray(starts[first]!, starts[first + stretch]!))
      this.#framesSent += stretch
      count -= stretch
    }
  }

  /** Checks every answer: size, order, error code. They differ only in fields of fixed width. */
  #takeAnswers(byteCount: number): void {
    const bytes = this.#answer
    this.#answerEnd += byteCount
    const answerBytes = this.#answerBytes
    const nowMs = performance.now()
    let at = 0
    for (; at + answerBytes <= this.#answerEnd; at += answerBytes) {
      const acked = this.#framesAcked + this.#framesPerAck
      const sizeOk = bytes.readInt32BE(at) === answerBytes - 4
      const orderOk = bytes.readInt32BE(at + 4) === ((acked - 1) | 0)
      if (!sizeOk || !orderOk || bytes.readInt16BE(at + this.#errorPosition) !== Errors.NONE) {
        throw new Error(this.#explain(bytes.subarray(at, this.#answerEnd)))
      }
      this.#framesAcked = acked
      this.#window.answered(nowMs - this.#sentMs[(acked - 1) % this.#tape.frameCount]!)
      this.#totals.requests += this.#framesPerAck
    }
    const messages = (at / answerBytes) * this.#framesPerAck * this.#settings.recordsPerBatch
    this.#totals.messages += messages
    this.#totals.payloadBytes += messages * this.#settings.recordBytes
    this.#totals.logBytes += (at / answerBytes) * this.#framesPerAck * this.#tape.frameBytes
    if (at > 0) this.#lastAnswer = Buffer.from(bytes.subarray(at - answerBytes, at))
    bytes.copyWithin(0, at, this.#answerEnd)
    this.#answerEnd -= at
  }

  /** The last batch's offset tells how much the partition holds: no less than was sent. */
  #checkLastOffset(): void {
    if (this.#settings.partitionCount > 1) return
    const { response } = decodeResponse(Produce, produceVersion, this.#lastAnswer)
    const { baseOffset } = response.responses[0]!.partitionResponses[0]!
    const logEnd = baseOffset + this.#settings.recordsPerBatch
    if (logEnd >= this.#messagesSent) return
    throw new Error(`${this.#messagesSent} records sent, the log ends at ${logEnd}`)
  }

  #explain(answer: Buffer): string {
    const { correlationId, response } = decodeResponse(Produce, produceVersion, answer)
    const partition = response.responses[0]?.partitionResponses[0]
    return (
      `bad answer to produce request ${this.#framesAcked + this.#framesPerAck - 1}: correlation id ` +
      `${correlationId}, error ${errorName(partition?.errorCode ?? Errors.UNKNOWN_SERVER_ERROR)}`
    )
  }
}
