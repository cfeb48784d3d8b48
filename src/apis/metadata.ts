/**
 * Metadata 0-12: brokers, topics, who leads what. Dispatcher thread.
 *
 * A topic that does not exist is created at once and answered as it is, where the request and
 * `auto.create.topics.enable` allow it; Kafka answers UNKNOWN_TOPIC_OR_PARTITION first and creates behind. Requests for
 * all topics create nothing. A partition that takes no commands has no leader and LEADER_NOT_AVAILABLE.
 */

import type { Partition } from '../partitions/partition.ts'
import { zeroUuid } from '../protocol/bytes.ts'
import { Errors } from '../protocol/errors.ts'
import { Metadata } from '../protocol/messages/metadata.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import { isInternalTopic, topicNameError } from '../topics/topic-names.ts'
import type { Topic } from '../topics/topic-registry.ts'
import type { ApiRow } from './api-row.ts'
import { CLUSTER_OPERATIONS, NO_OPERATIONS, TOPIC_OPERATIONS } from './authorized-operations.ts'
import { leaderEpoch } from './partition-errors.ts'
import { rowError } from './row-errors.ts'

type MetadataRequest = RequestOf<typeof Metadata>
type MetadataResponse = ResponseOf<typeof Metadata>
type TopicRow = MetadataResponse['topics'][number]
type PartitionRow = TopicRow['partitions'][number]
type Asked = NonNullable<MetadataRequest['topics']>[number]

export const metadata: ApiRow<MetadataRequest, MetadataResponse> = {
  schema: Metadata,
  resource: 'topic',
  operation: 'describe',
  handle(request, { apiVersion }, services) {
    // An empty list meant "all" before null could be sent.
    if (request.topics === null || (apiVersion === 0 && request.topics.length === 0)) {
      const { topics, nodeId } = services
      const rows = Array.from(topics.all(), topic => topicRow(topic, request, nodeId))
      return response(request, rows, services)
    }
    const asked = uniqueTopics(request.topics)
    const answer = (failures: Failures) => {
      const rows = asked.map(topic => answerTopic(topic, request, apiVersion, failures, services))
      return response(request, rows, services)
    }
    const missing = creatable(asked, request, services)
    if (missing.length === 0) return answer(new Map())
    return createTopics(missing, services).then(answer)
  },
}

/** Error code of each topic that was to be created and was not. */
type Failures = ReadonlyMap<string, number>

/** The names asked for that do not exist and may be created now. */
function creatable(
  asked: readonly Asked[],
  request: MetadataRequest,
  { topics, config }: Services,
): string[] {
  if (!request.allowAutoTopicCreation || !config.autoCreateTopics) return []
  return asked
    .filter(({ topicId }) => topicId === zeroUuid)
    .map(({ name }) => name)
    .filter(name => name !== null)
    .filter(name => topics.get(name) === undefined && topicNameError(name) === null)
}

async function createTopics(names: readonly string[], { admin }: Services): Promise<Failures> {
  const failures = new Map<string, number>()
  const create = async (name: string) => {
    try {
      await admin.ensureTopic(name)
    } catch (error) {
      failures.set(name, rowError(error).errorCode)
    }
  }
  await Promise.all(names.map(create))
  return failures
}

/** A topic asked for twice is answered once, as in Kafka; what is asked for by its id may have any name beside it. */
function uniqueTopics(topics: readonly Asked[]): Asked[] {
  const keyOf = ({ topicId, name }: Asked) => (topicId === zeroUuid ? `name ${name}` : topicId)
  return [...new Map(topics.map(asked => [keyOf(asked), asked])).values()]
}

function answerTopic(
  { topicId, name }: Asked,
  request: MetadataRequest,
  apiVersion: number,
  failures: Failures,
  { topics, nodeId }: Services,
): TopicRow {
  if (topicId !== zeroUuid || name === null) {
    // Before v12 ids are in the request but not part of the protocol yet (KIP-516).
    if (apiVersion < 12 || topicId === zeroUuid)
      return errorRow(Errors.INVALID_REQUEST, name ?? '', topicId)
    const topic = topics.byId(topicId)
    return topic === undefined
      ? errorRow(Errors.UNKNOWN_TOPIC_ID, null, topicId)
      : topicRow(topic, request, nodeId)
  }
  const topic = topics.get(name)
  if (topic !== undefined) return topicRow(topic, request, nodeId)
  if (topicNameError(name) !== null) return errorRow(Errors.INVALID_TOPIC_EXCEPTION, name, zeroUuid)
  return errorRow(failures.get(name) ?? Errors.UNKNOWN_TOPIC_OR_PARTITION, name, zeroUuid)
}

function errorRow(errorCode: number, name: string | null, topicId: string): TopicRow {
  return {
    errorCode,
    name,
    topicId,
    isInternal: false,
    partitions: [],
    topicAuthorizedOperations: NO_OPERATIONS,
  }
}

function topicRow(topic: Topic, request: MetadataRequest, nodeId: number): TopicRow {
  const asked = request.includeTopicAuthorizedOperations
  return {
    errorCode: Errors.NONE,
    name: topic.name,
    topicId: topic.id,
    isInternal: isInternalTopic(topic.name),
    partitions: topic.partitions.map(partition => partitionRow(partition, nodeId)),
    topicAuthorizedOperations: asked ? TOPIC_OPERATIONS : NO_OPERATIONS,
  }
}

function partitionRow(partition: Partition, nodeId: number): PartitionRow {
  const led = partition.state === 'online'
  return {
    errorCode: led ? Errors.NONE : Errors.LEADER_NOT_AVAILABLE,
    partitionIndex: partition.index,
    leaderId: led ? nodeId : -1,
    leaderEpoch,
    replicaNodes: [nodeId],
    isrNodes: led ? [nodeId] : [],
    offlineReplicas: led ? [] : [nodeId],
  }
}

function response(
  request: MetadataRequest,
  topics: TopicRow[],
  { nodeId, advertised, clusterId }: Services,
): MetadataResponse {
  const asked = request.includeClusterAuthorizedOperations
  return {
    throttleTimeMs: 0,
    brokers: [{ nodeId, host: advertised.host, port: advertised.port, rack: null }],
    clusterId,
    controllerId: nodeId,
    topics,
    clusterAuthorizedOperations: asked ? CLUSTER_OPERATIONS : NO_OPERATIONS,
  }
}
