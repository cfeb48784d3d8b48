/**
 * GET /topics/{topic}/partitions/{partition}/records: reads without any state on this side; the reader keeps its own
 * offset. Dispatcher thread.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { Errors } from '../../protocol/errors.ts'
import { isRefusal, type LogBackend, type ReadPage } from '../backend/log-backend.ts'
import { kafkaProblem, noPartition, noTopic } from '../error-status.ts'
import type { HttpServices } from '../http-services.ts'
import { HttpProblem } from '../problem.ts'
import { encodings } from '../tail/record-json.ts'
import { AnswerWriter, NoAnswerMemory } from './answer-writer.ts'
import type { ByteBudget } from './byte-budget.ts'
import { formatFor, formatTypes, type RecordFormat } from './record-formats.ts'
import { partitionPath, problems } from './schemas.ts'
import { type WrittenPage, writePage } from './write-page.ts'

const bytesMaxDefault = 1024 * 1024
const bytesMaxMost = 4 * 1024 * 1024
const waitMsMost = 30_000
/** Reads in a row that find nothing for the reader: what compaction left of a log is mostly batches without records. */
const emptyReadsMax = 100

const count = (most: number) =>
  z
    .string()
    .regex(/^\d{1,12}$/, 'must be a number')
    .transform(text => Math.min(Number(text), most))

const readQuery = z
  .strictObject({
    offset: z
      .string()
      .regex(/^(?:\d{1,16}|earliest|latest)$/, 'must be a number, earliest or latest')
      .optional()
      .meta({ description: 'The first one wanted: a number, earliest (default) or latest.' }),
    timestamp: z
      .union([z.string().regex(/^\d{1,16}$/), z.iso.datetime({ offset: true })])
      .optional()
      .meta({
        description:
          'Instead of an offset: the first record at or after a time, in ms or ISO 8601.',
      }),
    max_bytes: count(bytesMaxMost)
      .default(bytesMaxDefault)
      .meta({
        description: `Of records to send, but at least one is sent; ${bytesMaxMost} at most.`,
      }),
    timeout: count(waitMsMost)
      .default(0)
      .meta({
        description: `How long to wait for a record, in ms; ${waitMsMost} at most.`,
      }),
    encoding: z.enum(encodings).optional().meta({
      description: 'How JSON shows values: as text (default), as the JSON they hold, in base64.',
    }),
  })
  .refine(({ offset, timestamp }) => offset === undefined || timestamp === undefined, {
    message: 'an offset and a timestamp: give one of them',
  })
type ReadQuery = z.output<typeof readQuery>

const record = z
  .looseObject({
    topic: z.string(),
    partition: z.int(),
    offset: z.string().meta({ description: 'A 64-bit number in decimal.' }),
    timestamp: z.int().meta({ description: 'Milliseconds since 1970.' }),
    key: z.string().nullish(),
    value: z.unknown(),
    headers: z.array(z.object({ name: z.string(), value: z.string().nullish() })),
  })
  .meta({
    id: 'Record',
    description:
      'Bytes that the encoding cannot show stand in key_base64, value_base64 or value_text instead.',
  })
const list = { schema: z.array(record) }
const stream = { schema: z.string().meta({ format: 'binary' }) }

const schema = {
  summary: 'Read records',
  description:
    'Answers with the records from an offset on, none if there are none. The header ' +
    'X-Odradek-Next-Offset says where to read on.',
  tags: ['Read'],
  params: partitionPath,
  querystring: readQuery,
  response: {
    200: {
      description: 'Records in the order of their offsets.',
      content: Object.fromEntries(
        formatTypes.map(type => [
          type,
          type.endsWith('json') && !type.includes('nd') ? list : stream,
        ]),
      ),
    },
    ...problems(400, 404, 406, 416, 500, 503),
  },
}

/** @param answers memory of all answers that are not sent yet */
export function registerReadRoutes(
  app: FastifyInstance,
  { backend }: HttpServices,
  answers: ByteBudget,
): void {
  const closing = new AbortController()
  app.addHook('preClose', done => {
    closing.abort()
    done()
  })
  app
    .withTypeProvider<ZodTypeProvider>()
    .get('/topics/:topic/partitions/:partition/records', { schema }, async (request, reply) => {
      const { topic, partition } = request.params
      const view = backend.topic(topic)
      if (view === null) throw noTopic(topic)
      if (partition >= view.partitionCount) throw noPartition(topic, partition, view.partitionCount)
      const { accept } = request.headers
      const format = formatFor(accept, request.query.encoding, topic, partition)
      const call = { topic, partition, query: request.query }
      return await new Read(backend, answers, format, call, request, reply).run(closing.signal)
    })
}

interface Call {
  readonly topic: string
  readonly partition: number
  readonly query: ReadQuery
}

class Read {
  readonly #backend: LogBackend
  readonly #format: RecordFormat
  readonly #call: Call
  readonly #reply: FastifyReply
  readonly #writer: AnswerWriter
  readonly #ended = new AbortController()

  constructor(
    backend: LogBackend,
    answers: ByteBudget,
    format: RecordFormat,
    call: Call,
    request: FastifyRequest,
    reply: FastifyReply,
  ) {
    this.#backend = backend
    this.#format = format
    this.#call = call
    this.#reply = reply
    this.#writer = new AnswerWriter(answers)
    reply.raw.once('close', () => {
      this.#ended.abort()
      this.#writer.release()
    })
    if (request.raw.destroyed && request.raw.socket.destroyed) this.#ended.abort()
  }

  async run(closing: AbortSignal): Promise<FastifyReply> {
    const { max_bytes: bytesMax, timeout } = this.#call.query
    const signal = AbortSignal.any([this.#ended.signal, closing])
    const endMs = performance.now() + timeout
    let offset = await this.#startOffset()
    for (let reads = 1; ; reads++) {
      const waitMs = Math.max(0, Math.round(endMs - performance.now()))
      const { topic, partition } = this.#call
      const page = await this.#backend.read({ topic, partition, offset, bytesMax, waitMs, signal })
      const written = await this.#write(page, bytesMax)
      const isDone = written.count > 0 || written.nextOffset <= offset || reads === emptyReadsMax
      if (isDone || signal.aborted) return this.#send(page, written)
      offset = written.nextOffset
      this.#writer.release()
    }
  }

  /** Takes what the page holds, and gives the page back. */
  async #write(page: ReadPage, bytesMax: number): Promise<WrittenPage> {
    try {
      this.#check(page)
      const written = await writePage(page, this.#format, this.#writer, bytesMax)
      if (written.damage !== null && written.count === 0) {
        const cure = `read on at offset ${page.nextOffset}`
        throw kafkaProblem(Errors.CORRUPT_MESSAGE, `${written.damage.message}: ${cure}`)
      }
      return written
    } catch (error) {
      if (!(error instanceof NoAnswerMemory)) throw error
      throw new HttpProblem(503, 'too many large answers are under way: try again', 50301)
    } finally {
      page.release()
    }
  }

  #check({ errorCode, message, nextOffset, logStart, highWatermark }: ReadPage): void {
    if (errorCode === Errors.NONE) return
    if (nextOffset >= 0 && errorCode === Errors.CORRUPT_MESSAGE) {
      this.#reply.header('x-odradek-next-offset', String(nextOffset))
    }
    if (errorCode === Errors.OFFSET_OUT_OF_RANGE) this.#tellRange(logStart, highWatermark)
    throw kafkaProblem(errorCode, message)
  }

  #tellRange(logStart: number, highWatermark: number): void {
    this.#reply.header('x-odradek-log-start-offset', String(logStart))
    this.#reply.header('x-odradek-high-watermark', String(highWatermark))
  }

  #send({ logStart, highWatermark }: ReadPage, { nextOffset }: WrittenPage): FastifyReply {
    if (highWatermark >= 0) this.#tellRange(logStart, highWatermark)
    return this.#reply
      .header('x-odradek-next-offset', String(nextOffset))
      .header('cache-control', 'no-store')
      .type(this.#format.contentType)
      .send(this.#writer.view())
  }

  async #startOffset(): Promise<number> {
    const { topic, partition, query } = this.#call
    if (query.timestamp !== undefined) {
      const found = await this.#backend.offsetForTime(topic, partition, timeOf(query.timestamp))
      if (typeof found === 'number') return found
      if (isRefusal(found)) throw kafkaProblem(found.errorCode, found.message)
    }
    const { offset = 'earliest' } = query
    if (offset !== 'earliest' && offset !== 'latest') return Number(offset)
    const offsets = this.#backend.offsets(topic, partition)
    if (offsets === null) {
      const why = `${topic}-${partition} is not open now: see /readyz`
      throw kafkaProblem(Errors.NOT_LEADER_OR_FOLLOWER, why)
    }
    return offset === 'latest' ? offsets.highWatermark : offsets.logStart
  }
}

function timeOf(text: string): number {
  return /^\d+$/.test(text) ? Number(text) : Date.parse(text)
}
