/**
 * Fetch 4-12, sessionless (KIP-227 allows it: the answer's session id is 0 and every partition asked for has a row).
 * Dispatcher thread. Long poll, min and max bytes, minOneMessage (KIP-74): see fetching/fetch-operation.ts.
 *
 * read_committed reads as read_uncommitted: without transactions the last stable offset is the high watermark.
 */
import { FetchOperation } from '../fetching/fetch-operation.ts'
import type { PendingCall } from '../net/pending-call.ts'
import { Errors } from '../protocol/errors.ts'
import { Fetch } from '../protocol/messages/fetch.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

export type FetchRequest = RequestOf<typeof Fetch>
export type FetchResponse = ResponseOf<typeof Fetch>

export const fetch: ApiRow<FetchRequest, FetchResponse> = {
  schema: Fetch,
  resource: 'topic',
  operation: 'read',
  handle(request, call, services) {
    const { sessionId, sessionEpoch } = request
    // Sessions are never made, so a client that names one must start over with a full fetch.
    if (sessionId !== 0 && sessionEpoch > 0) {
      return sessionError(Errors.FETCH_SESSION_ID_NOT_FOUND)
    }
    if (sessionId === 0 && sessionEpoch > 0) {
      return sessionError(Errors.INVALID_FETCH_SESSION_EPOCH)
    }
    new FetchOperation(request, call as unknown as PendingCall, services).start()
    return undefined
  },
}

function sessionError(errorCode: number): FetchResponse {
  return { throttleTimeMs: 0, errorCode, sessionId: 0, responses: [] }
}
