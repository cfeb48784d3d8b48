/**
 * InitProducerId 0-5 for idempotent producers: a new id, epoch 0. Dispatcher thread. Without a
 * transactional id the producer's id and epoch are ignored, as in Kafka (@platformatic/kafka sends 0/0).
 *
 * There are no transactions yet. A transactional id gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED: fatal in
 * every client, so the application learns it at once instead of retrying for ever. What no broker would
 * take is told first, as it will be when there are some.
 */
import { Errors } from '../protocol/errors.ts'
import { InitProducerId } from '../protocol/messages/init-producer-id.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

type InitProducerIdRequest = RequestOf<typeof InitProducerId>
type InitProducerIdResponse = ResponseOf<typeof InitProducerId>

export const initProducerId: ApiRow<InitProducerIdRequest, InitProducerIdResponse> = {
  schema: InitProducerId,
  resource: 'cluster',
  operation: 'idempotent-write',
  handle(request, _call, { producerIds }) {
    const errorCode = refusal(request)
    if (errorCode !== Errors.NONE) return refuse(errorCode)
    return producerIds.next().then(
      producerId => ({ throttleTimeMs: 0, errorCode: Errors.NONE, producerId, producerEpoch: 0 }),
      // The block could not be made durable; retriable, a disk may come back.
      () => refuse(Errors.COORDINATOR_NOT_AVAILABLE),
    )
  },
}

/** Kafka's default of transaction.max.timeout.ms. */
const transactionTimeoutMsMax = 900_000

function refusal(request: InitProducerIdRequest): number {
  const { transactionalId, transactionTimeoutMs, producerId, producerEpoch } = request
  if ((producerId === -1) !== (producerEpoch === -1)) return Errors.INVALID_REQUEST
  if (transactionalId === null) return Errors.NONE
  if (transactionalId === '') return Errors.INVALID_REQUEST
  const isTimeoutLegal = transactionTimeoutMs > 0 && transactionTimeoutMs <= transactionTimeoutMsMax
  return isTimeoutLegal
    ? Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    : Errors.INVALID_TRANSACTION_TIMEOUT
}

const refuse = (errorCode: number): InitProducerIdResponse => ({
  throttleTimeMs: 0,
  errorCode,
  producerId: -1,
  producerEpoch: -1,
})
