/**
 * The library: a broker inside your own program, and a client for any Kafka-wire broker.
 *
 *     await using broker = await startBroker()
 *     const producer = new Producer({ bootstrap: broker.bootstrap })
 */
export { type Broker, type BrokerOptions, type RunningBroker, startBroker } from './broker.ts'
export type { ThreadedBroker } from './broker-thread/threaded-broker.ts'
export {
  Admin,
  type NewTopic,
  type TopicConfig,
  type TopicDescription,
  type TopicPartition,
  type TopicSummary,
} from './client/admin.ts'
export type {
  GroupAdmin,
  GroupBroker,
  GroupDescription,
  GroupListing,
  GroupMember,
  GroupOffset,
  OffsetToCommit,
} from './client/admin-groups.ts'
export type { Bytes, Headers } from './client/batch-builder.ts'
export type { ClientOptions } from './client/cluster.ts'
export type { ConnectionOptions } from './client/connection.ts'
export {
  Consumer,
  type ConsumerOptions,
  type StreamOptions,
} from './client/consumer.ts'
export { assign } from './client/group-assign.ts'
export type {
  AssignedPartition,
  GroupOptions,
  PartitionOffset,
  RebalanceEvent,
} from './client/group-options.ts'
export type { Message, MessageLike } from './client/message.ts'
export type { ConsumedMessage, MessageChunk, MessageStream } from './client/message-stream.ts'
export type { Partitioner } from './client/partitioner.ts'
export {
  Producer,
  type ProducerOptions,
  type SendResult,
  type TopicWriter,
} from './client/producer.ts'
export type { RecordHeader } from './client/record-cursor.ts'
export type { StartPosition } from './client/start-offsets.ts'
export type { CodecName } from './protocol/compression.ts'
export { Errors, errorName, isRetriable, KafkaError } from './protocol/errors.ts'
