/**
 * Checks a topic creation or extension completely before anything is written, with Kafka's error codes
 * (ReplicationControlManager of Kafka 4.1, KIP-464 for -1). Pure.
 */
import type { BrokerConfig } from '../config/config.ts'
import { checkTogether, checkTopicConfigs } from '../config/topic-configs.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { topicNameError } from '../topics/topic-names.ts'
import type { TopicCatalog } from './topic-catalog.ts'

export interface CreateTopic {
  readonly name: string
  /** -1 = the broker's default, or as many as `assignments`. */
  readonly partitions: number
  /** -1 = the broker's default. */
  readonly replicationFactor: number
  /** Brokers per partition; must name this broker. */
  readonly assignments?: readonly Assignment[]
  readonly configs: Iterable<readonly [name: string, text: string | null]>
  readonly validateOnly?: boolean
}

export interface Assignment {
  readonly partition: number
  readonly brokerIds: readonly number[]
}

export interface Growth {
  readonly name: string
  /** Partitions afterwards. */
  readonly count: number
  /** Brokers per new partition; null = chosen by the broker. */
  readonly assignments: readonly (readonly number[])[] | null
  readonly validateOnly?: boolean
}

export interface TopicPlan {
  readonly name: string
  readonly partitions: number
  readonly configs: Map<string, string>
}

export interface PlanContext {
  readonly config: BrokerConfig
  readonly nodeId: number
  readonly catalog: TopicCatalog
}

/** What createTopic would make; throws KafkaError for the first thing wrong. */
export function planTopic(request: CreateTopic, context: PlanContext): TopicPlan {
  const { name } = request
  const nameError = topicNameError(name)
  if (nameError !== null) throw new KafkaError(Errors.INVALID_TOPIC_EXCEPTION, nameError)
  const present = context.catalog.get(name)
  if (present !== undefined)
    throw new KafkaError(
      Errors.TOPIC_ALREADY_EXISTS,
      present.state === 'deleting'
        ? `Topic ${name} is being deleted: try again in a moment`
        : `Topic ${name} already exists: use another name, or delete it first`,
    )
  const collision = context.catalog.colliding(name)
  if (collision !== null)
    throw new KafkaError(
      Errors.INVALID_TOPIC_EXCEPTION,
      `Topic ${name} collides with ${collision}: their names differ only in "." and "_", use another`,
    )
  const partitions = planPartitions(request, context)
  requireRoom(partitions, context)
  const configs = checkTopicConfigs(request.configs)
  checkTogether(configs, context.config.topicDefaults)
  return { name, partitions, configs }
}

function planPartitions(request: CreateTopic, context: PlanContext): number {
  const { partitions, replicationFactor, assignments = [] } = request
  if (assignments.length > 0) {
    if (partitions !== -1 || replicationFactor !== -1)
      throw new KafkaError(
        Errors.INVALID_REQUEST,
        'Both numPartitions or replicationFactor and assignments were given: use one of them',
      )
    return checkAssignments(assignments, context.nodeId)
  }
  if (replicationFactor === 0 || replicationFactor < -1 || replicationFactor > 1)
    throw new KafkaError(
      Errors.INVALID_REPLICATION_FACTOR,
      `Replication factor ${replicationFactor} is impossible: there is 1 broker, use 1 or -1`,
    )
  if (partitions === 0 || partitions < -1)
    throw new KafkaError(
      Errors.INVALID_PARTITIONS,
      `Number of partitions was ${partitions}: must be 1 or more, or -1 for the default`,
    )
  return partitions === -1 ? context.config.numPartitions : partitions
}

function checkAssignments(assignments: readonly Assignment[], nodeId: number): number {
  const indexes = new Set(assignments.map(({ partition }) => partition))
  if (indexes.size !== assignments.length)
    throw new KafkaError(
      Errors.INVALID_REPLICA_ASSIGNMENT,
      'A partition is given twice in the assignments: give each once',
    )
  for (let index = 0; index < assignments.length; index++)
    if (!indexes.has(index))
      throw new KafkaError(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        `Partitions of the assignments must be numbered from 0 without a gap: ${index} is missing`,
      )
  for (const { partition, brokerIds } of assignments) checkReplicas(partition, brokerIds, nodeId)
  return assignments.length
}

function checkReplicas(partition: number, brokerIds: readonly number[], nodeId: number): void {
  if (brokerIds.length === 1 && brokerIds[0] === nodeId) return
  throw new KafkaError(
    Errors.INVALID_REPLICA_ASSIGNMENT,
    `Partition ${partition} must be assigned to broker ${nodeId} alone, the only one there is`,
  )
}

/** Checks an extension of a topic that has `present` partitions; throws KafkaError for the first thing wrong. */
export function planGrowth(growth: Growth, present: number, context: PlanContext): void {
  const { name, count, assignments } = growth
  if (count <= present)
    throw new KafkaError(
      Errors.INVALID_PARTITIONS,
      count === present
        ? `Topic ${name} already has ${present} partitions: ask for more`
        : `Topic ${name} has ${present} partitions: ${count} would not be an increase, ask for more`,
    )
  if (assignments !== null) {
    if (assignments.length !== count - present)
      throw new KafkaError(
        Errors.INVALID_REPLICA_ASSIGNMENT,
        `${count - present} partitions are to be added, ${assignments.length} assignments were given: give one for each`,
      )
    for (const [index, brokerIds] of assignments.entries())
      checkReplicas(present + index, brokerIds, context.nodeId)
  }
  requireRoom(count - present, context)
}

function requireRoom(added: number, { catalog, config }: PlanContext): void {
  const { partitionsMax } = config.limits
  if (catalog.partitionCount + added <= partitionsMax) return
  throw new KafkaError(
    Errors.POLICY_VIOLATION,
    `${added} more partitions would exceed the limit of ${partitionsMax} ` +
      `(${catalog.partitionCount} in use): raise max.partitions`,
  )
}
