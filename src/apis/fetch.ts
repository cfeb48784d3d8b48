/**
 * Fetch 4-17: by topic name up to 12, by topic id from 13 on (KIP-516); sessions (KIP-227): fetching/fetch-session.ts.
 * Dispatcher thread. Long poll, min and max bytes, minOneMessage (KIP-74): see fetching/fetch-operation.ts.
 *
 * read_committed reads as read_uncommitted: without transactions the last stable offset is the high watermark.
 */
import { FetchOperation } from '../fetching/fetch-operation.ts'
import type { PendingCall } from '../net/pending-call.ts'
import type { FetchRequest } from '../protocol/fetch-request.ts'
import { Fetch } from '../protocol/messages/fetch.ts'
import type { ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

export type FetchResponse = ResponseOf<typeof Fetch>

export const fetch: ApiRow<FetchRequest, FetchResponse> = {
  schema: Fetch,
  resource: 'topic',
  operation: 'read',
  handle(request, call, services) {
    const context = services.fetchSessions.begin(request, call.apiVersion)
    if (typeof context === 'number') return sessionError(context)
    new FetchOperation(request, context, call as unknown as PendingCall, services).start()
    return undefined
  },
}

function sessionError(errorCode: number): FetchResponse {
  return { throttleTimeMs: 0, errorCode, sessionId: 0, responses: [], nodeEndpoints: [] }
}
