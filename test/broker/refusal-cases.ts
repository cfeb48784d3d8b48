/**
 * Requests that are to be refused, over every API whose answer has room for words: with which code, and what the
 * message must say. They are sent to a broker with the topics that refusals.test.ts makes.
 */
import { Errors } from '../../src/protocol/errors.ts'
import { CreateAcls, DeleteAcls, DescribeAcls } from '../../src/protocol/messages/acls.ts'
import { AlterConfigs } from '../../src/protocol/messages/alter-configs.ts'
import { CreatePartitions } from '../../src/protocol/messages/create-partitions.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { DeleteTopics } from '../../src/protocol/messages/delete-topics.ts'
import { DescribeCluster } from '../../src/protocol/messages/describe-cluster.ts'
import { DescribeConfigs } from '../../src/protocol/messages/describe-configs.ts'
import { FindCoordinator } from '../../src/protocol/messages/find-coordinator.ts'
import { IncrementalAlterConfigs } from '../../src/protocol/messages/incremental-alter-configs.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { ApiSchema } from '../../src/protocol/schema.ts'
import { batchOf, produceRequest } from './fixture.ts'

const noId = 'AAAAAAAAAAAAAAAAAAAAAA'
const otherId = 'AAAAAAAAAAAAAAAAAAAAEA'

/** A request, the code of its refusal, and words of the message: what is wrong, what to do. */
interface Case {
  readonly what: string
  readonly schema: ApiSchema<never, unknown>
  readonly version: number
  readonly request: unknown
  readonly errorCode: number
  readonly words: readonly string[]
}

function refusal<Req, Res>(
  what: string,
  schema: ApiSchema<Req, Res>,
  request: Req,
  errorCode: number,
  words: readonly string[],
  version = schema.versions[1],
): Case {
  return { what, schema: schema as never, version, request, errorCode, words }
}

export const newTopic = (name: string, rest: object = {}) => ({
  topics: [{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [], ...rest }],
  timeoutMs: 1000,
  validateOnly: false,
})
const twice = <T>({ topics, ...rest }: { topics: T[] } & object) => ({
  ...rest,
  topics: [...topics, ...topics],
})
export const config = (name: string, value: string | null) => ({ configs: [{ name, value }] })
const onBroker = { numPartitions: -1, replicationFactor: -1 }
const assigned = (partitionIndex: number, brokerIds = [0]) => ({ partitionIndex, brokerIds })

const createTopicsCases: Case[] = (
  [
    ['no name', newTopic(''), 'INVALID_TOPIC_EXCEPTION', ['empty', '1 to 249']],
    ['dots', newTopic('..'), 'INVALID_TOPIC_EXCEPTION', ['cannot be']],
    ['a long name', newTopic('x'.repeat(250)), 'INVALID_TOPIC_EXCEPTION', ['250', '249']],
    ['a path', newTopic('../x'), 'INVALID_TOPIC_EXCEPTION', ['../x', 'a-z A-Z 0-9 . _ -']],
    ['an internal name', newTopic('__transaction_state'), 'INVALID_TOPIC_EXCEPTION', ['another']],
    ['a name that collides', newTopic('a_b'), 'INVALID_TOPIC_EXCEPTION', ['a.b', 'use another']],
    ['a name that is taken', newTopic('a.b'), 'TOPIC_ALREADY_EXISTS', ['a.b', 'another name']],
    ['a name twice', twice(newTopic('tt')), 'INVALID_REQUEST', ['"tt"', 'twice']],
    ['no partitions', newTopic('t', { numPartitions: 0 }), 'INVALID_PARTITIONS', ['1 or more']],
    [
      'too many',
      newTopic('t', { numPartitions: 41 }),
      'POLICY_VIOLATION',
      ['raise max.partitions'],
    ],
    [
      'three copies',
      newTopic('t', { replicationFactor: 3 }),
      'INVALID_REPLICATION_FACTOR',
      ['1 broker', 'use 1 or -1'],
    ],
    [
      'both numbers and assignments',
      newTopic('t', { assignments: [assigned(0)] }),
      'INVALID_REQUEST',
      ['use one of them'],
    ],
    [
      'a gap in the assignments',
      newTopic('t', { ...onBroker, assignments: [assigned(1)] }),
      'INVALID_REPLICA_ASSIGNMENT',
      ['from 0', '0 is missing'],
    ],
    [
      'a partition assigned twice',
      newTopic('t', { ...onBroker, assignments: [assigned(0), assigned(0)] }),
      'INVALID_REPLICA_ASSIGNMENT',
      ['give each once'],
    ],
    [
      'another broker',
      newTopic('t', { ...onBroker, assignments: [assigned(0, [7])] }),
      'INVALID_REPLICA_ASSIGNMENT',
      ['broker 0 alone'],
    ],
    [
      'a misspelt config',
      newTopic('t', config('retention.m', '1')),
      'INVALID_CONFIG',
      ['retention.m', 'did you mean retention.ms'],
    ],
    [
      'a bad value',
      newTopic('t', config('segment.bytes', 'many')),
      'INVALID_CONFIG',
      ['segment.bytes', 'many', 'an integer of'],
    ],
  ] as const
).map(([what, request, code, words]) =>
  refusal(what, CreateTopics, request as never, Errors[code], words),
)

const grow = (
  name: string,
  count: number,
  assignments: { brokerIds: number[] }[] | null = null,
) => ({
  topics: [{ name, count, assignments }],
  timeoutMs: 1000,
  validateOnly: false,
})
const createPartitionsCases: Case[] = (
  [
    ['no such topic', grow('nope', 2), 'UNKNOWN_TOPIC_OR_PARTITION', ['"nope"', 'create it']],
    ['as many', grow('a.b', 2), 'INVALID_PARTITIONS', ['already has 2', 'ask for more']],
    ['fewer', grow('a.b', 1), 'INVALID_PARTITIONS', ['has 2', 'ask for more']],
    ['too many', grow('a.b', 100), 'POLICY_VIOLATION', ['raise max.partitions']],
    ['a topic twice', twice(grow('a.b', 3)), 'INVALID_REQUEST', ['"a.b"', 'twice']],
    ['no assignment', grow('a.b', 3, []), 'INVALID_REPLICA_ASSIGNMENT', ['one for each']],
    ['the own', grow('__consumer_offsets', 9), 'INVALID_TOPIC_EXCEPTION', ['another']],
  ] as const
).map(([what, request, code, words]) =>
  refusal(what, CreatePartitions, request as never, Errors[code], words),
)

const deletion = (...topics: { name: string | null; topicId: string }[]) => ({
  topics,
  topicNames: [],
  timeoutMs: 1000,
})
const deleteTopicsCases: Case[] = (
  [
    ['no such topic', [{ name: 'nope', topicId: noId }], 'UNKNOWN_TOPIC_OR_PARTITION', ['"nope"']],
    ['no such id', [{ name: null, topicId: otherId }], 'UNKNOWN_TOPIC_ID', ['metadata again']],
    ['name and id', [{ name: 'a.b', topicId: otherId }], 'INVALID_REQUEST', ['either']],
    [
      'a topic twice',
      [
        { name: 'a.b', topicId: noId },
        { name: 'a.b', topicId: noId },
      ],
      'INVALID_REQUEST',
      ['"a.b"', 'twice'],
    ],
    [
      'the own',
      [{ name: '__consumer_offsets', topicId: noId }],
      'INVALID_TOPIC_EXCEPTION',
      ["the broker's own"],
    ],
  ] as const
).map(([what, topics, code, words]) =>
  refusal(what, DeleteTopics, deletion(...topics), Errors[code], words),
)

/** Resource type, name, config, value, operation; the same for all three APIs where they have a field for it. */
const configCases: Case[] = (
  [
    ['no such topic', 2, 'nope', 'retention.ms', 'UNKNOWN_TOPIC_OR_PARTITION', ['create it']],
    ['no topic name', 2, '..', 'retention.ms', 'INVALID_TOPIC_EXCEPTION', ['cannot be']],
    ['another broker', 4, '77', 'log.retention.ms', 'INVALID_REQUEST', ['"77"', 'expected 0']],
    ['loggers', 8, '0', 'x', 'INVALID_REQUEST', ['topics (2) and this broker (4)']],
    ['a setting', 4, '0', 'max.connections', 'INVALID_REQUEST', ['--set', 'restart']],
    ['a misspelt one', 2, 'a.b', 'retention.m', 'INVALID_CONFIG', ['did you mean retention.ms']],
  ] as const
).flatMap(([what, resourceType, resourceName, name, code, words]) => {
  const resource = { resourceType, resourceName }
  const altered = [{ ...resource, configs: [{ name, value: '1', configOperation: 0 }] }]
  const change = { resources: altered, validateOnly: false }
  const read = [{ ...resource, configurationKeys: null }]
  const ask = { resources: read, includeSynonyms: false, includeDocumentation: false }
  const isReadable = what === 'a setting' || what === 'a misspelt one'
  return [
    refusal(what, AlterConfigs, change, Errors[code], words),
    refusal(what, IncrementalAlterConfigs, change, Errors[code], words),
    ...(isReadable ? [] : [refusal(what, DescribeConfigs, ask, Errors[code], words)]),
  ]
})

const step = (name: string, value: string | null, configOperation: number) => ({
  resources: [
    { resourceType: 2, resourceName: 'a.b', configs: [{ name, value, configOperation }] },
  ],
  validateOnly: false,
})
const stepCases: Case[] = (
  [
    ['an operation there is not', step('retention.ms', '1', 9), 'INVALID_REQUEST', ['0 sets']],
    ['null', step('retention.ms', null, 0), 'INVALID_REQUEST', ['delete it instead']],
    ['an item for a number', step('retention.ms', '1', 2), 'INVALID_CONFIG', ['set it instead']],
    [
      'a resource twice',
      {
        resources: [...step('retention.ms', '1', 0).resources, ...step('x', '1', 0).resources],
        validateOnly: false,
      },
      'INVALID_REQUEST',
      ['"a.b"', 'must appear once'],
    ],
  ] as const
).map(([what, request, code, words]) =>
  refusal(what, IncrementalAlterConfigs, request as never, Errors[code], words),
)

const find = (keyType: number, key: string) => ({ key, keyType, coordinatorKeys: [key] })
const longId = 'g'.repeat(256)
const findCoordinatorCases: Case[] = [3, 6].flatMap(version => [
  refusal(
    'transactions',
    FindCoordinator,
    find(1, 'tx'),
    Errors.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ['without a transactional.id'],
    version,
  ),
  refusal('share groups', FindCoordinator, find(2, 's'), Errors.INVALID_REQUEST, ['0 is'], version),
  refusal(
    'a long id',
    FindCoordinator,
    find(0, longId),
    Errors.INVALID_GROUP_ID,
    ['255 bytes', 'shorten group.id', 'id.max.bytes'],
    version,
  ),
])

const endpoints = (endpointType: number) => ({
  includeClusterAuthorizedOperations: false,
  endpointType,
})
const clusterCases: Case[] = [
  refusal('controllers', DescribeCluster, endpoints(2), Errors.MISMATCHED_ENDPOINT_TYPE, [
    '--bootstrap-server',
  ]),
  refusal('endpoint 3', DescribeCluster, endpoints(3), Errors.UNSUPPORTED_ENDPOINT_TYPE, ['1 (']),
]

const acl = { resourceType: 2, resourceName: 't', resourcePatternType: 3 }
const may = { principal: 'User:x', host: '*', operation: 3, permissionType: 3 }
const filter = {
  resourceTypeFilter: 1,
  resourceNameFilter: null,
  patternTypeFilter: 1,
  principalFilter: null,
  hostFilter: null,
  operation: 1,
  permissionType: 1,
}
const off = ['no access control']
const aclCases: Case[] = [
  refusal('reading', DescribeAcls, filter, Errors.SECURITY_DISABLED, off),
  refusal(
    'writing',
    CreateAcls,
    { creations: [{ ...acl, ...may }] },
    Errors.SECURITY_DISABLED,
    off,
  ),
  refusal('deleting', DeleteAcls, { filters: [filter] }, Errors.SECURITY_DISABLED, off),
]

const good = batchOf(['a'])
/** A batch with bytes put in at a place, and its CRC wrong or right as it falls. */
function withByte(at: number, value: number): Buffer {
  const bytes = Buffer.from(good)
  bytes[at] = value
  return bytes
}
export const idempotent = (producerEpoch: number, baseSequence: number) =>
  batchOf(['a'], { producerId: 5, producerEpoch, baseSequence })

const produceCases: Case[] = (
  [
    ['no such topic', ['nope', good], 'UNKNOWN_TOPIC_OR_PARTITION', ['"nope"', 'create it']],
    [
      'no such partition',
      ['a.b', good, { partition: 9 }],
      'UNKNOWN_TOPIC_OR_PARTITION',
      ['0 to 1'],
    ],
    ['the own', ['__consumer_offsets', good], 'INVALID_TOPIC_EXCEPTION', ['produce to another']],
    ['acks=2', ['a.b', good, { acks: 2 }], 'INVALID_REQUIRED_ACKS', ['acks=2', '0, 1']],
    [
      'a transaction',
      ['a.b', good, { transactionalId: 'x' }],
      'TRANSACTIONAL_ID_AUTHORIZATION_FAILED',
      ['without a transactional.id'],
    ],
    ['nothing', ['a.b', null], 'INVALID_RECORD', ['one whole batch']],
    ['an old format', ['a.b', withByte(16, 1)], 'INVALID_RECORD', ['format 2']],
    ['a flipped bit', ['a.b', withByte(good.length - 1, 9)], 'CORRUPT_MESSAGE', ['CRC', 'again']],
    ['a codec', ['a.b', withByte(22, 7)], 'UNSUPPORTED_COMPRESSION_TYPE', ['compression.type']],
    [
      'too large a batch',
      ['a.b', batchOf(['x'.repeat(20_001)])],
      'MESSAGE_TOO_LARGE',
      ['20000', 'batch.size', 'max.message.bytes'],
    ],
    [
      'too large a batch for a segment',
      ['tiny', batchOf(['x'.repeat(3000)])],
      'RECORD_LIST_TOO_LARGE',
      ['2048', 'raise segment.bytes'],
    ],
    ['an old epoch', ['seq', idempotent(1, 1)], 'INVALID_PRODUCER_EPOCH', ['close this one']],
    ['a gap', ['seq', idempotent(2, 9)], 'OUT_OF_ORDER_SEQUENCE_NUMBER', ['new producer']],
    [
      'no key',
      ['compacted', good],
      'INVALID_RECORD',
      ['have been rejected', 'cannot accept message without key'],
    ],
    [
      'a time too far ahead',
      ['timed', batchOf(['a'], { timestampMs: Date.now() + 3_600_000 })],
      'INVALID_TIMESTAMP',
      ['have been rejected', 'message.timestamp.after.max.ms'],
    ],
  ] as const
).map(([what, [topic, records, options], code, words]) =>
  refusal(what, Produce, produceRequest(topic, records, options), Errors[code], words),
)

export const refusalCases: readonly Case[] = [
  ...createTopicsCases,
  ...createPartitionsCases,
  ...deleteTopicsCases,
  ...configCases,
  ...stepCases,
  ...findCoordinatorCases,
  ...clusterCases,
  ...aclCases,
  ...produceCases,
]
