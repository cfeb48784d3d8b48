/**
 * Makes requests as honest clients send them, from the schema: what a field is called says what belongs in it. Pure,
 * seeded.
 */
import { zeroUuid } from '../../src/protocol/bytes.ts'
import type { ApiSchema, Field, Fields } from '../../src/protocol/schema.ts'
import type { Random } from '../torture/random.ts'
import { badBatch, goodBatch } from './batches.ts'
import { oddBytes, oddText } from './odd-values.ts'
import type { KnownMember, World } from './world.ts'

export type AnySchema = ApiSchema<unknown, unknown>
export type Struct = Record<string, unknown>

/** What the fields of one request agree on. */
interface Context {
  readonly api: AnySchema
  readonly version: number
  readonly random: Random
  readonly world: World
  readonly member: KnownMember
}
type Hint = (context: Context) => unknown

/** A request of this version; half of the record batches in it are damaged, which is for the owners to find. */
export function validRequest(
  api: AnySchema,
  version: number,
  random: Random,
  world: World,
): Struct {
  const context = { api, version, random, world, member: random.pick(world.members) }
  return structOf(api.request, context)
}

function structOf(fields: Fields, context: Context): Struct {
  const entries = Object.entries(fields).map(([name, field]) => {
    const isPresent = context.version >= field.from && context.version <= field.to
    return [name, isPresent ? fieldOf(name, field, context) : field.absent]
  })
  return Object.fromEntries(entries)
}

function fieldOf(name: string, field: Field<unknown>, context: Context): unknown {
  const { random, version } = context
  if (field.type === 'array') return arrayOf(name, field, context)
  const hint = hints[name]
  if (hint !== undefined && hint.type === field.type) return hint.make(context)
  if (field.tag >= 0 && random.chance(0.7)) return field.absent
  if (version >= field.nullableFrom && random.chance(0.3)) return null
  return scalarOf(field, context)
}

function arrayOf(name: string, field: Field<unknown>, context: Context): unknown {
  const { random, version } = context
  if (version >= field.nullableFrom && random.chance(0.2)) return null
  const element = field.element as Field<unknown>
  const count = random.pick([1, 1, 1, 2, 3, 0])
  return Array.from({ length: count }, () =>
    element.type === 'struct' ? scalarOf(element, context) : fieldOf(name, element, context),
  )
}

function scalarOf(field: Field<unknown>, context: Context): unknown {
  const { random } = context
  switch (field.type) {
    case 'bool':
      return random.chance(0.5)
    case 'int8':
    case 'int16':
    case 'int32':
    case 'int64':
      return random.between(-1, 4)
    case 'uuid':
      return random.chance(0.8) ? random.pick(context.world.topicIds) : zeroUuid
    case 'string':
      return random.chance(0.5) ? 'text' : oddText(random)
    case 'bytes':
    case 'records':
      return oddBytes(random)
    case 'struct':
      return structOf(field.fields as Fields, context)
    default:
      throw new Error(`no request has ${field.type}`)
  }
}

interface TypedHint {
  readonly type: string
  readonly make: Hint
}
const of = (type: string, make: Hint): TypedHint => ({ type, make })
const text = (make: Hint) => of('string', make)
const int32 = (make: Hint) => of('int32', make)
const int64 = (make: Hint) => of('int64', make)
const int16 = (make: Hint) => of('int16', make)
const int8 = (make: Hint) => of('int8', make)
const bool = (make: Hint) => of('bool', make)

const topic = text(({ random, world }) => random.pick(world.topics))
const group = text(({ random, world, member }) =>
  random.chance(0.7) ? member.groupId : random.pick([...world.groups, 'fuzz-new']),
)
const partition = int32(({ random }) => random.pick([0, 0, 1, 1, 2]))
const generation = int32(({ random, member }) =>
  random.chance(0.8) ? member.generation : random.between(-1, 3),
)
const instance = text(({ random, member }) => (random.chance(0.8) ? member.instanceId : null))
const short = int32(({ random }) => random.pick([0, 1, 5, 100]))

const configs = [
  ['retention.ms', '-1'],
  ['retention.bytes', '1000000'],
  ['segment.bytes', '1048576'],
  ['cleanup.policy', 'delete'],
  ['cleanup.policy', 'compact,delete'],
  ['max.message.bytes', '100000'],
  ['flush.policy', 'os'],
  ['flush.ms', '10'],
  ['no.such.config', '1'],
  ['min.insync.replicas', '1'],
] as const
const isAboutConfigs = (api: AnySchema) => /Config/.test(api.name)

const hints: Readonly<Record<string, TypedHint>> = {
  name: text(context => {
    const { api, random } = context
    if (api.name === 'CreateTopics') return random.pick([`new-${random.between(0, 5)}`, 'a', ''])
    if (api.name === 'JoinGroup') return random.pick(['range', 'range', 'roundrobin'])
    return isAboutConfigs(api) ? random.pick(configs)[0] : topic.make(context)
  }),
  value: text(({ random }) => random.pick(configs)[1]),
  topic,
  topics: topic,
  topicNames: topic,
  topicId: of('uuid', ({ api, version, random, world }) => {
    const isById = api.name === 'Fetch' || random.chance(version < 12 ? 0.05 : 0.5)
    return isById ? random.pick(world.topicIds) : zeroUuid
  }),
  resourceName: text(({ random, world }) => random.pick([...world.topics, '0', ''])),
  resourceType: int8(({ random }) => random.pick([2, 2, 2, 4, 4, 8, 16, 32])),
  partition,
  partitionIndex: partition,
  partitionIndexes: partition,
  partitions: partition,
  index: partition,
  groupId: group,
  groups: group,
  groupsNames: group,
  coordinatorKeys: group,
  key: group,
  memberId: text(({ random, member }) => (random.chance(0.8) ? member.memberId : '')),
  groupInstanceId: instance,
  generationId: generation,
  generationIdOrMemberEpoch: generation,
  records: of('records', ({ random, world }) =>
    random.chance(0.5) ? goodBatch(random, world) : badBatch(random, world),
  ),
  transactionalId: text(({ random }) => (random.chance(0.9) ? null : 'tx')),
  acks: int16(({ random }) => random.pick([-1, -1, 1, 1, 0])),
  timeoutMs: short,
  maxWaitMs: short,
  minBytes: int32(({ random }) => random.pick([0, 1, 1, 1000])),
  maxBytes: int32(({ random }) => random.pick([1, 100, 100_000])),
  partitionMaxBytes: int32(({ random }) => random.pick([1, 100, 100_000])),
  fetchOffset: int64(({ random }) => random.between(-1, 20)),
  offset: int64(({ random }) => random.pick([-1, 0, 1, 5, 1000])),
  committedOffset: int64(({ random }) => random.pick([0, 1, 1000])),
  sessionId: int32(({ random, world }) => random.pick([0, 0, 0, world.sessionId])),
  sessionEpoch: int32(({ random }) => random.pick([-1, -1, 0, 1])),
  currentLeaderEpoch: int32(({ random }) => random.pick([-1, -1, 0])),
  committedLeaderEpoch: int32(({ random }) => random.pick([-1, 0])),
  leaderEpoch: int32(({ random }) => random.pick([-1, 0])),
  lastFetchedEpoch: int32(({ random }) => random.pick([-1, 0])),
  replicaId: int32(() => -1),
  isolationLevel: int8(({ random }) => random.pick([0, 1])),
  timestamp: int64(({ random }) => random.pick([-1, -2, -3, -4, -5, 0, 1_700_000_000_001])),
  retentionTimeMs: int64(({ random }) => random.pick([-1, 1000, 3_600_000])),
  numPartitions: int32(({ random }) => random.pick([-1, 1, 2])),
  replicationFactor: int16(({ random }) => random.pick([-1, 1])),
  count: int32(({ random }) => random.pick([1, 2, 3])),
  brokerIds: int32(({ random }) => random.pick([0, 0, 1])),
  validateOnly: bool(({ random }) => random.chance(0.6)),
  sessionTimeoutMs: int32(({ random }) => random.pick([6000, 10_000, 1_800_000])),
  rebalanceTimeoutMs: int32(({ random }) => random.pick([0, 10, 1000, 60_000])),
  protocolType: text(() => 'consumer'),
  protocolName: text(() => 'range'),
  statesFilter: text(({ random }) => random.pick(['Stable', 'empty', 'Dead', 'x'])),
  typesFilter: text(({ random }) => random.pick(['classic', 'consumer', 'x'])),
  configOperation: int8(({ random }) => random.between(0, 3)),
  clientSoftwareName: text(() => 'fuzz'),
  clientSoftwareVersion: text(() => '1.0'),
  keyType: int8(({ random }) => random.pick([0, 0, 1])),
  transactionTimeoutMs: int32(() => 60_000),
  producerId: int64(({ random, world }) => random.pick([-1, world.producerId])),
  producerEpoch: int16(({ random }) => random.pick([-1, 0])),
}
