/**
 * The operations a client may do on a resource, as the bit field Metadata and DescribeCluster answer when asked: bit n
 * for Kafka's AclOperation n (KIP-430). All of them until there is an authorizer. Pure.
 */

/** Not asked for, or not known. */
export const NO_OPERATIONS = -0x8000_0000

const [READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE] = [3, 4, 5, 6, 7, 8]
const [CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE] = [9, 10, 11, 12]

const bits = (...operations: number[]) => operations.reduce((field, n) => field | (1 << n), 0)

// AclEntry.supportedOperations of Kafka 4.1.
export const TOPIC_OPERATIONS = bits(
  READ,
  WRITE,
  CREATE,
  DELETE,
  ALTER,
  DESCRIBE,
  DESCRIBE_CONFIGS,
  ALTER_CONFIGS,
)
export const GROUP_OPERATIONS = bits(READ, DESCRIBE, DELETE, DESCRIBE_CONFIGS, ALTER_CONFIGS)
export const CLUSTER_OPERATIONS = bits(
  CREATE,
  ALTER,
  DESCRIBE,
  CLUSTER_ACTION,
  DESCRIBE_CONFIGS,
  ALTER_CONFIGS,
  IDEMPOTENT_WRITE,
)
