/** Batches of several partitions as one Produce request, and its answer as one row a batch. */
import type { Produce } from '../protocol/messages/produce.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { PartitionQueue, ProduceBatch } from './produce-batch.ts'

export type ProduceRequest = RequestOf<typeof Produce>
export type ProduceAnswer = ResponseOf<typeof Produce>
export type ProduceRow = ProduceAnswer['responses'][number]['partitionResponses'][number]

/** `batches`: at most one of a partition. */
export function produceRequest(
  batches: readonly ProduceBatch[],
  acks: number,
  timeoutMs: number,
): ProduceRequest {
  const topicData: ProduceRequest['topicData'] = []
  const rows = new Map<string, (typeof topicData)[number]>()
  for (const { queue, bytes } of batches) {
    let row = rows.get(queue.topic)
    if (row === undefined) {
      row = { name: queue.topic, partitionData: [] }
      rows.set(queue.topic, row)
      topicData.push(row)
    }
    row.partitionData.push({ index: queue.index, records: bytes })
  }
  return { transactionalId: null, acks, timeoutMs, topicData }
}

/** The answer's row of each batch, by its queue. Rows nobody asked for are left out. */
export function rowsByQueue(
  batches: readonly ProduceBatch[],
  answer: ProduceAnswer,
): Map<PartitionQueue, ProduceRow> {
  const queues = new Map<string, PartitionQueue>()
  for (const { queue } of batches) queues.set(`${queue.topic}-${queue.index}`, queue)
  const rows = new Map<PartitionQueue, ProduceRow>()
  for (const { name, partitionResponses } of answer.responses) {
    for (const row of partitionResponses) {
      const queue = queues.get(`${name}-${row.index}`)
      if (queue !== undefined) rows.set(queue, row)
    }
  }
  return rows
}
