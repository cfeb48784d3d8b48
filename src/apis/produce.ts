/**
 * Produce 3-11 (0-2 advertised for librdkafka's feature gates, PROTOCOL.md 1.4; such requests close the connection).
 * Dispatcher thread.
 *
 * One append command per partition goes to the partition's owner, which checks size, CRC and producer state. acks=1 is
 * answered when the batch is in the log file, acks=all when the high watermark (the flushed end) has passed it, acks=0
 * never: an error closes the connection. Topics are not created here.
 */
import { Metric } from '../metrics.ts'
import type { PendingCall } from '../net/pending-call.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import type { Partition } from '../partitions/partition.ts'
import { Errors, errorName } from '../protocol/errors.ts'
import { Produce } from '../protocol/messages/produce.ts'
import { recordCountAt } from '../protocol/record-batch.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Reply } from '../ring/commands.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { unavailableCode } from './partition-errors.ts'

type Request = RequestOf<typeof Produce>
type Response = ResponseOf<typeof Produce>
type ResponseRow = Response['responses'][number]['partitionResponses'][number]

const acksAll = -1
const view = emptyOffsetView()

export const produce: ApiRow<Request, Response> = {
  schema: Produce,
  advertise: [0, 11],
  resource: 'topic',
  operation: 'write',
  handle(request, call, services) {
    new ProduceOperation(request, call as unknown as PendingCall, services).start()
    return undefined
  },
}

class ProduceOperation {
  readonly #request: Request
  readonly #call: PendingCall
  readonly #services: Services
  readonly #response: Response
  readonly #rows: ResponseRow[] = []
  readonly #partitions: (Partition | null)[] = []
  #open = 1

  constructor(request: Request, call: PendingCall, services: Services) {
    this.#request = request
    this.#call = call
    this.#services = services
    this.#response = { responses: [], throttleTimeMs: 0, nodeEndpoints: [] }
    if (request.acks === 0) call.expectsResponse = false
  }

  start(): void {
    const { acks, transactionalId, topicData } = this.#request
    let refusal: number = Errors.NONE
    if (acks < acksAll || acks > 1) refusal = Errors.INVALID_REQUIRED_ACKS
    else if (transactionalId !== null) refusal = Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    for (const { name, partitionData } of topicData) {
      const partitionResponses: ResponseRow[] = []
      this.#response.responses.push({ name, partitionResponses })
      const topic = this.#services.topics.get(name)
      for (const { index, records } of partitionData) {
        const row = newRow(index)
        partitionResponses.push(row)
        const partition = topic?.partitions[index]
        if (refusal !== Errors.NONE) this.#fail(row, refusal)
        else if (partition === undefined) this.#fail(row, Errors.UNKNOWN_TOPIC_OR_PARTITION)
        else if (partition.state !== 'online') this.#fail(row, unavailableCode(partition))
        else if (records === null || records.length === 0) this.#fail(row, Errors.INVALID_RECORD)
        else this.#append(row, partition, records)
      }
    }
    this.#closeOne()
  }

  onReply(index: number, reply: Reply): void {
    const row = this.#rows[index] as ResponseRow
    const partition = this.#partitions[index] as Partition
    if (reply.errorCode !== Errors.NONE) {
      this.#fail(row, reply.errorCode)
      this.#closeOne()
      return
    }
    row.baseOffset = reply.baseOffset
    row.logAppendTimeMs = reply.timestampMs
    const { offsets, dispatcher } = this.#services
    const isOpen = offsets.read(partition.slot, partition.generation, view)
    if (isOpen) row.logStartOffset = view.logStart
    if (this.#request.acks === acksAll) {
      if (isOpen && view.highWatermark < reply.endOffset) {
        const timeoutMs = Math.max(1, this.#request.timeoutMs)
        dispatcher.purgatory.waitDurable(partition.slot, reply.endOffset, timeoutMs, this, index)
        return
      }
      // Deleted or closed meanwhile: nobody will ever tell whether the flush has passed it.
      if (!isOpen) this.#fail(row, unavailableCode(partition))
    }
    this.#closeOne()
  }

  onDurable(index: number, errorCode: number): void {
    if (errorCode !== Errors.NONE) this.#fail(this.#rows[index] as ResponseRow, errorCode)
    this.#closeOne()
  }

  #append(row: ResponseRow, partition: Partition, records: Uint8Array): void {
    const block = this.#call.block
    if (block === null) throw new Error('a produce request lies in the arena')
    this.#open++
    const index = this.#rows.push(row) - 1
    this.#partitions.push(partition)
    const offset = block.arenaOffset + (records.byteOffset - block.bytes.byteOffset)
    const metrics = this.#services.metrics
    metrics.add(Metric.producedBytes, records.length)
    if (records.length >= 61) metrics.add(Metric.producedRecords, recordCountAt(records, 0))
    this.#services.dispatcher.append(
      partition,
      block,
      offset,
      records.length,
      this.#call.apiVersion,
      this,
      index,
    )
  }

  #fail(row: ResponseRow, errorCode: number): void {
    row.errorCode = errorCode
    row.baseOffset = -1
    row.logAppendTimeMs = -1
    row.logStartOffset = -1
    if (errorCode !== Errors.NONE) row.errorMessage = errorName(errorCode)
    this.#services.metrics.add(Metric.produceErrors, 1)
  }

  #closeOne(): void {
    if (--this.#open > 0) return
    if (this.#request.acks !== 0) {
      this.#call.respond(this.#response)
      return
    }
    const failed = this.#response.responses
      .flatMap(topic => topic.partitionResponses)
      .find(row => row.errorCode !== Errors.NONE)
    this.#call.finishSilently(failed === undefined ? null : errorName(failed.errorCode))
  }
}

function newRow(index: number): ResponseRow {
  return {
    index,
    errorCode: Errors.NONE,
    baseOffset: -1,
    logAppendTimeMs: -1,
    logStartOffset: -1,
    recordErrors: [],
    errorMessage: null,
    currentLeader: null,
  }
}
