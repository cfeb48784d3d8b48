/** Every schema, for tests that go over all of them. */
import { AlterConfigs } from '../../src/protocol/messages/alter-configs.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { CreatePartitions } from '../../src/protocol/messages/create-partitions.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DeleteRecords } from '../../src/protocol/messages/delete-records.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { DescribeCluster } from '../../src/protocol/messages/describe-cluster.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { FindCoordinator } from '../../src/protocol/messages/find-coordinator.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'

export const schemas: readonly ApiSchema<unknown, unknown>[] = [
  AlterConfigs,
  ApiVersions,
  CreatePartitions,
  CreateTopics,
  DeleteRecords,
  DeleteTopics,
  DescribeCluster,
  DescribeConfigs,
  Fetch,
  FindCoordinator,
  IncrementalAlterConfigs,
  InitProducerId,
  ListOffsets,
  Metadata,
  Produce,
]
