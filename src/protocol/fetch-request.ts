/** Fetch requests as a consumer sends them: all that a replica would say of itself has its default. Any thread. */
import type { Fetch } from './messages/fetch.ts'
import type { RequestOf } from './schema.ts'

export type FetchRequest = RequestOf<typeof Fetch>
export type FetchTopic = FetchRequest['topics'][number]
export type FetchPartition = FetchTopic['partitions'][number]

/** First version that names topics by id (KIP-516). */
export const topicIdVersion = 13
/** The zero uuid: a topic that is named, not identified. */
const noTopicId = 'AAAAAAAAAAAAAAAAAAAAAA'

export interface FetchWish {
  readonly partition: number
  readonly fetchOffset: number
  readonly maxBytes: number
  /** -1, the default, is not checked. */
  readonly currentLeaderEpoch?: number
}

export interface FetchTerms {
  readonly maxWaitMs: number
  readonly minBytes: number
  readonly maxBytes: number
  readonly isolationLevel?: number
  readonly sessionId?: number
  readonly sessionEpoch?: number
}

/** Wishes of one topic: by name, or by `topicId` from version 13 on. */
export function fetchTopic(
  topic: string,
  wishes: readonly FetchWish[],
  topicId = noTopicId,
): FetchTopic {
  return { topic, topicId, partitions: wishes.map(fetchPartition) }
}

/** Without a session, unless the terms name one. */
export function fetchRequestFor(terms: FetchTerms, topics: FetchTopic[]): FetchRequest {
  const { maxWaitMs, minBytes, maxBytes, isolationLevel = 0 } = terms
  const { sessionId = 0, sessionEpoch = -1 } = terms
  return {
    clusterId: null,
    replicaId: -1,
    replicaState: null,
    maxWaitMs,
    minBytes,
    maxBytes,
    isolationLevel,
    sessionId,
    sessionEpoch,
    topics,
    forgottenTopicsData: [],
    rackId: '',
  }
}

function fetchPartition({
  partition,
  fetchOffset,
  maxBytes,
  currentLeaderEpoch = -1,
}: FetchWish): FetchPartition {
  return {
    partition,
    currentLeaderEpoch,
    fetchOffset,
    lastFetchedEpoch: -1,
    logStartOffset: -1,
    partitionMaxBytes: maxBytes,
    replicaDirectoryId: noTopicId,
  }
}
