/** Every schema, for tests that go over all of them. */
import { CreateAcls, DeleteAcls, DescribeAcls } from '../../src/protocol/messages/acls.ts'
import { AlterConfigs } from '../../src/protocol/messages/alter-configs.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { CreatePartitions } from '../../src/protocol/messages/create-partitions.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DeleteGroups } from '../../src/protocol/messages/delete-groups.ts'
import { DeleteRecords } from '../../src/protocol/messages/delete-records.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { DescribeCluster } from '../../src/protocol/messages/describe-cluster.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { DescribeGroups } from '../../src/protocol/messages/describe-groups.ts'
import { DescribeLogDirs } from '../../src/protocol/messages/describe-log-dirs.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { FindCoordinator } from '../../src/protocol/messages/find-coordinator.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { InitProducerId } from '../../src/protocol/messages/init-producer-id.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { LeaveGroup } from '../../src/protocol/messages/leave-group.ts'
import { ListGroups } from '../../src/protocol/messages/list-groups.ts'
import { ListOffsets } from '../../src/protocol/messages/list-offsets.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { OffsetCommit } from '../../src/protocol/messages/offset-commit.ts'
import { OffsetDelete } from '../../src/protocol/messages/offset-delete.ts'
import { OffsetFetch } from '../../src/protocol/messages/offset-fetch.ts'
import { OffsetForLeaderEpoch } from '../../src/protocol/messages/offset-for-leader-epoch.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import { SyncGroup } from '../../src/protocol/messages/sync-group.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'

export const schemas: readonly ApiSchema<unknown, unknown>[] = [
  AlterConfigs,
  ApiVersions,
  CreateAcls,
  CreatePartitions,
  CreateTopics,
  DeleteAcls,
  DeleteGroups,
  DeleteRecords,
  DeleteTopics,
  DescribeAcls,
  DescribeCluster,
  DescribeConfigs,
  DescribeGroups,
  DescribeLogDirs,
  Fetch,
  FindCoordinator,
  Heartbeat,
  IncrementalAlterConfigs,
  InitProducerId,
  JoinGroup,
  LeaveGroup,
  ListGroups,
  ListOffsets,
  Metadata,
  OffsetCommit,
  OffsetDelete,
  OffsetFetch,
  OffsetForLeaderEpoch,
  Produce,
  SyncGroup,
]
