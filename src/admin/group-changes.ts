/**
 * Changes of consumer groups by people: delete a group, take committed offsets away, set where a group goes on. Plain
 * functions that wire handlers and HTTP routes call. The client's mistakes are codes or KafkaErrors. Dispatcher thread.
 */
import { isIdTooLong } from '../groups/ids.ts'
import type { OffsetRow } from '../groups/types.ts'
import { emptyOffsetView } from '../partitions/offset-table.ts'
import { Errors, errorName, KafkaError } from '../protocol/errors.ts'
import type { Services } from '../services.ts'
import { type Move, moveTo, type Standing, type Target } from './offset-moves.ts'

type GroupServices = Pick<Services, 'groups' | 'committed' | 'topics' | 'offsets' | 'config'>

export interface Reset {
  readonly groupId: string
  /** Topic -> partitions, null for all of them; null: what the group has committed. */
  readonly topics: ReadonlyMap<string, readonly number[] | null> | null
  readonly target: Target
  /** Only tells what would be done. */
  readonly dryRun: boolean
}

/** More than one request should change: an answer that people can read, a batch that fits. */
const movesMax = 10_000
const view = emptyOffsetView()

/** An empty group and all its committed offsets. @returns NONE when that is durable, else why not */
export async function deleteGroup(groupId: string, services: GroupServices): Promise<number> {
  const { groups, committed } = services
  const code = committed.availability(groupId)
  if (code !== Errors.NONE) return code
  if (groups.has(groupId)) return await groups.remove(groupId, committed)
  return committed.has(groupId) ? await committed.removeGroup(groupId) : Errors.GROUP_ID_NOT_FOUND
}

/**
 * Sets where a group without members goes on; it is made if it does not exist. Everything is checked before anything is
 * changed. @param timeToOffset the first record at or after a time; -1 when there is none
 * @throws KafkaError UNKNOWN_TOPIC_OR_PARTITION, NON_EMPTY_GROUP, INVALID_GROUP_ID, INVALID_REQUEST, or why the offsets
 *   cannot be told or stored now
 */
export async function resetOffsets(
  reset: Reset,
  services: GroupServices,
  timeToOffset: (topic: string, partition: number, timeMs: number) => Promise<number>,
): Promise<Move[]> {
  const { groupId, target, dryRun } = reset
  checkGroup(groupId, services)
  const places = placesOf(reset, services)
  const moves: Move[] = []
  for (const place of places) {
    const { topic, partition } = place
    const isTimed = target.kind === 'time'
    const atTime = isTimed ? await timeToOffset(topic, partition, target.timeMs) : null
    moves.push(checkedMove(target, place, atTime, services))
  }
  if (dryRun) return moves
  const nobody = { groupId, memberId: '', groupInstanceId: null, generation: -1 }
  const rows = moves.map(move => toRow(move, Date.now()))
  const code = await services.committed.commit({ ...nobody, knowsGroupIdNotFound: false }, rows)
  // With members a commit of nobody's is refused: somebody has joined meanwhile.
  if (code === Errors.UNKNOWN_MEMBER_ID) throw busy(groupId, services)
  if (code !== Errors.NONE) {
    throw new KafkaError(code, `offsets of group ${groupId} were not set: ${errorName(code)}`)
  }
  return moves
}

function checkGroup(groupId: string, services: GroupServices): void {
  const { groups, committed, config } = services
  if (groupId === '' || isIdTooLong(groupId, config.groups.idBytesMax)) {
    throw new KafkaError(
      Errors.INVALID_GROUP_ID,
      `a group id has 1 to ${config.groups.idBytesMax} bytes`,
    )
  }
  const code = committed.availability(groupId)
  if (code !== Errors.NONE) {
    throw new KafkaError(code, `offsets of group ${groupId} cannot be told now: ${errorName(code)}`)
  }
  if (groups.has(groupId) && !groups.isEmpty(groupId)) throw busy(groupId, services)
}

/** Who keeps it from being reset or deleted. */
export function busy(groupId: string, { groups }: Pick<Services, 'groups'>): KafkaError {
  const count = groups.describe(groupId).members.length
  const why =
    count === 0
      ? 'is about to rebalance: stop its members'
      : `has ${count === 1 ? '1 member: stop it' : `${count} members: stop them`}`
  return new KafkaError(Errors.NON_EMPTY_GROUP, `group ${groupId} ${why} first`)
}

interface Place {
  readonly topic: string
  readonly partition: number
  readonly committed: number | null
}

function placesOf({ groupId, topics: asked }: Reset, services: GroupServices): Place[] {
  const { committed, topics } = services
  const all = committed.all(groupId)
  const places: Place[] = []
  const add = (topic: string, partition: number): void => {
    places.push({ topic, partition, committed: all.get(topic)?.get(partition)?.offset ?? null })
    if (places.length > movesMax) {
      throw new KafkaError(
        Errors.INVALID_REQUEST,
        `more than ${movesMax} partitions in one request: name fewer topics`,
      )
    }
  }
  if (asked === null) {
    for (const [topic, partitions] of all) for (const index of partitions.keys()) add(topic, index)
  } else {
    for (const [topic, indexes] of asked) {
      const present = topics.get(topic)?.partitions
      if (present === undefined) {
        throw new KafkaError(Errors.UNKNOWN_TOPIC_OR_PARTITION, `topic ${topic} does not exist`)
      }
      for (const index of new Set(indexes ?? present.keys())) add(topic, index)
    }
  }
  if (places.length > 0) return places.sort(byPartition)
  throw new KafkaError(
    Errors.INVALID_REQUEST,
    `group ${groupId} has no committed offsets: name the topics`,
  )
}

function checkedMove(
  target: Target,
  place: Place,
  atTime: number | null,
  { topics, offsets }: GroupServices,
): Move {
  const { topic, partition, committed } = place
  const found = topics.partition(topic, partition)
  if (found === undefined) {
    throw new KafkaError(
      Errors.UNKNOWN_TOPIC_OR_PARTITION,
      `topic ${topic} has no partition ${partition}`,
    )
  }
  if (!offsets.read(found.slot, found.generation, view)) {
    throw new KafkaError(
      Errors.NOT_LEADER_OR_FOLLOWER,
      `the log of ${topic}-${partition} cannot be asked now, nothing was changed`,
    )
  }
  if (target.kind === 'shift' && committed === null) {
    throw new KafkaError(
      Errors.INVALID_REQUEST,
      `${topic}-${partition}: nothing is committed that could be shifted; say where to go`,
    )
  }
  const { logStart, highWatermark: logEnd } = view
  const standing: Standing = { topic, partition, committed, logStart, logEnd, atTime }
  return moveTo(target, standing)
}

function toRow({ topic, partition, after: offset }: Move, commitTimestampMs: number): OffsetRow {
  const rest = { leaderEpoch: -1, metadata: '', commitTimestampMs, expireTimestampMs: -1 }
  return { topic, partition, offset: { offset, ...rest } }
}

function byPartition(a: Place, b: Place): number {
  if (a.topic !== b.topic) return a.topic < b.topic ? -1 : 1
  return a.partition - b.partition
}
