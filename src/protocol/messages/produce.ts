/** Produce 3-11: record batches of magic 2 only. 0-2 carry older message sets and are advertised, not served. */
import {
  api,
  array,
  int16,
  int32,
  int64,
  nullableRecords,
  nullableString,
  since,
  string,
  struct,
  tagged,
} from '../schema.ts'

export const Produce = api({
  name: 'Produce',
  key: 0,
  versions: [3, 11],
  flexible: 9,
  request: {
    transactionalId: nullableString,
    acks: int16,
    timeoutMs: int32,
    topicData: array({
      name: string,
      partitionData: array({ index: int32, records: nullableRecords }),
    }),
  },
  response: {
    responses: array({
      name: string,
      partitionResponses: array({
        index: int32,
        errorCode: int16,
        baseOffset: int64,
        logAppendTimeMs: since(2, int64, -1),
        logStartOffset: since(5, int64, -1),
        recordErrors: since(
          8,
          array({ batchIndex: int32, batchIndexErrorMessage: nullableString }),
        ),
        errorMessage: since(8, nullableString),
        currentLeader: since(10, tagged(0, struct({ leaderId: int32, leaderEpoch: int32 }))),
      }),
    }),
    throttleTimeMs: since(1, int32),
    nodeEndpoints: since(
      10,
      tagged(0, array({ nodeId: int32, host: string, port: int32, rack: nullableString })),
    ),
  },
})
