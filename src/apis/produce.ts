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
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Reply } from '../ring/commands.ts'
import type { Services } from '../services.ts'
import type { Topic } from '../topics/topic-registry.ts'
import type { ApiRow } from './api-row.ts'
import { unavailableCode } from './partition-errors.ts'
import { refusalOfBatch } from './produce-errors.ts'

type Request = RequestOf<typeof Produce>
type Response = ResponseOf<typeof Produce>
type ResponseRow = Response['responses'][number]['partitionResponses'][number]

const acksAll = -1
const view = emptyOffsetView()
/** Shared by all answers: nothing is ever put in. */
const noRecordErrors: ResponseRow['recordErrors'] = []
const noEndpoints: Response['nodeEndpoints'] = []

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

/** One partition of a request: its row of the answer, and who waits for the owner's reply and for the flush. */
class ProduceRow implements ResponseRow {
  index: number
  errorCode: number = Errors.NONE
  baseOffset = -1
  logAppendTimeMs = -1
  logStartOffset = -1
  recordErrors: ResponseRow['recordErrors'] = noRecordErrors
  errorMessage: string | null = null
  currentLeader = null
  readonly #operation: ProduceOperation
  #partition: Partition | null = null
  #recordsBytes = 0

  constructor(index: number, operation: ProduceOperation) {
    this.index = index
    this.#operation = operation
  }

  append(partition: Partition, records: Uint8Array, call: PendingCall, services: Services): void {
    const { block, apiVersion } = call
    if (block === null) throw new Error('a produce request lies in the arena')
    this.#partition = partition
    this.#recordsBytes = records.length
    const arenaOffset = block.arenaOffset + (records.byteOffset - block.bytes.byteOffset)
    services.dispatcher.append(partition, block, arenaOffset, records.length, apiVersion, this, 0)
  }

  onReply(_row: number, reply: Reply): void {
    if (reply.errorCode === Errors.NONE) this.#appended(reply)
    else this.#close(reply.errorCode, reply)
  }

  onDurable(_row: number, errorCode: number): void {
    this.#close(errorCode)
  }

  fail(errorCode: number, errorMessage: string, services: Services): void {
    this.errorCode = errorCode
    this.baseOffset = -1
    this.logAppendTimeMs = -1
    this.logStartOffset = -1
    this.errorMessage = errorMessage
    services.metrics.add(Metric.produceErrors, 1)
  }

  failMissing(name: string, topic: Topic | undefined, services: Services): void {
    this.fail(Errors.UNKNOWN_TOPIC_OR_PARTITION, missing(name, this.index, topic), services)
  }

  #appended(reply: Reply): void {
    const { services, request } = this.#operation
    const partition = this.#partition as Partition
    const { slot, generation } = partition
    // Only now: what a refused batch says of itself is not to be believed.
    services.metrics.add(Metric.producedBytes, this.#recordsBytes)
    services.metrics.add(Metric.producedRecords, reply.endOffset - reply.baseOffset)
    this.baseOffset = reply.baseOffset
    this.logAppendTimeMs = reply.timestampMs
    const isOpen = services.offsets.read(slot, generation, view)
    if (isOpen) this.logStartOffset = view.logStart
    if (request.acks !== acksAll) this.#close(Errors.NONE)
    // Deleted or closed meanwhile: nobody will ever tell whether the flush has passed it.
    else if (!isOpen) this.#close(unavailableCode(partition))
    else if (view.highWatermark >= reply.endOffset) this.#close(Errors.NONE)
    else {
      const timeoutMs = Math.max(1, request.timeoutMs)
      services.dispatcher.purgatory.waitDurable(slot, reply.endOffset, timeoutMs, this, 0)
    }
  }

  refuse(errorCode: number, { topic, index }: Partition): void {
    const { services } = this.#operation
    const { decompressedBytesMax } = services.config.limits
    const log = services.topics.get(topic)?.log ?? services.config.defaultLog
    const batchBytes = this.#recordsBytes
    const batch = { topic, partition: index, batchBytes, log, decompressedBytesMax }
    this.fail(errorCode, refusalOfBatch(errorCode, batch), services)
  }

  #close(errorCode: number, refusal: Reply | null = null): void {
    if (errorCode !== Errors.NONE) this.refuse(errorCode, this.#partition as Partition)
    if (refusal !== null) blameRecord(this, refusal)
    this.#operation.closeOne()
  }
}

/** Names the record that breaks a rule of its topic (workers/log/record-rules.ts), in Kafka's words. */
function blameRecord(row: ProduceRow, { errorCode, start, timestampMs }: Reply): void {
  if (start === -1) return
  let why: string
  if (errorCode === Errors.INVALID_RECORD) {
    row.errorMessage = 'One or more records have been rejected'
    why = 'Compacted topic cannot accept message without key.'
  } else if (errorCode === Errors.INVALID_TIMESTAMP) {
    row.errorMessage = 'One or more records have been rejected due to invalid timestamp'
    why =
      `Timestamp ${timestampMs} is out of range: see message.timestamp.before.max.ms and ` +
      'message.timestamp.after.max.ms of the topic.'
  } else return
  row.recordErrors = [{ batchIndex: start, batchIndexErrorMessage: why }]
}

class ProduceOperation {
  readonly request: Request
  readonly services: Services
  readonly #call: PendingCall
  readonly #response: Response
  /** Rows that are not settled, and one for `start` itself. */
  #open = 1

  constructor(request: Request, call: PendingCall, services: Services) {
    this.request = request
    this.services = services
    this.#call = call
    const responses = new Array(request.topicData.length)
    this.#response = { responses, throttleTimeMs: 0, nodeEndpoints: noEndpoints }
    if (request.acks === 0) call.expectsResponse = false
  }

  start(): void {
    const { topicData } = this.request
    const refusal = this.#refusal()
    for (let i = 0; i < topicData.length; i++) {
      const { name, partitionData } = topicData[i]
      const topic = this.services.topics.get(name)
      const partitionResponses = new Array(partitionData.length)
      this.#response.responses[i] = { name, partitionResponses }
      for (let j = 0; j < partitionData.length; j++) {
        const { index, records } = partitionData[j]
        const row = new ProduceRow(index, this)
        partitionResponses[j] = row
        if (refusal !== null) row.fail(refusal.errorCode, refusal.why, this.services)
        else if (topic === undefined) row.failMissing(name, topic, this.services)
        else this.#startRow(row, topic, records)
      }
    }
    this.closeOne()
  }

  closeOne(): void {
    if (--this.#open > 0) return
    if (this.request.acks !== 0) {
      this.#call.respond(this.#response)
      return
    }
    const failed = this.#response.responses
      .flatMap(topic => topic.partitionResponses)
      .find(row => row.errorCode !== Errors.NONE)
    this.#call.finishSilently(failed === undefined ? null : errorName(failed.errorCode))
  }

  #refusal(): Refusal | null {
    const { acks, transactionalId } = this.request
    if (acks < acksAll || acks > 1) {
      const why = `acks=${acks} is none of 0, 1 and -1 (all): set acks of the producer`
      return { errorCode: Errors.INVALID_REQUIRED_ACKS, why }
    }
    if (transactionalId === null) return null
    const why = 'odradek has no transactions yet: produce without a transactional.id'
    return { errorCode: Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, why }
  }

  #startRow(row: ProduceRow, topic: Topic, records: Uint8Array | null): void {
    const { services } = this
    const { name } = topic
    const partition = topic.partitions[row.index]
    if (partition === undefined) row.failMissing(name, topic, services)
    else if (topic.log.isInternal) {
      const why = `Topic ${name} is the broker's own: produce to another`
      row.fail(Errors.INVALID_TOPIC_EXCEPTION, why, services)
    } else if (partition.state !== 'online') row.refuse(unavailableCode(partition), partition)
    else if (records === null || records.length === 0) row.refuse(Errors.INVALID_RECORD, partition)
    else {
      this.#open++
      row.append(partition, records, this.#call, services)
    }
  }
}

interface Refusal {
  readonly errorCode: number
  readonly why: string
}

function missing(name: string, index: number, topic: Topic | undefined): string {
  if (topic !== undefined) {
    const { length } = topic.partitions
    return `Topic ${name} has partitions 0 to ${length - 1}, no ${index}: ask for the metadata again`
  }
  const shown = JSON.stringify(name.slice(0, 249))
  return `Topic ${shown} does not exist: create it, or ask for its metadata where auto.create.topics.enable is true`
}
