/**
 * From the request for a tail to what it follows and where it begins. What clients can ask for: tail-schemas.ts.
 * Dispatcher thread.
 */

import type { LogBackend, TopicView } from '../backend/log-backend.ts'
import { isRefusal } from '../backend/log-backend.ts'
import { kafkaProblem, noPartition, noTopic } from '../error-status.ts'
import { echoed, HttpProblem } from '../problem.ts'
import { type Chunk, ChunkMaker, partitionsMax, type StreamShape, type TailKind } from './chunk.ts'
import { parsePositions } from './positions.ts'
import type { TailQuery } from './tail-schemas.ts'
import { resetNotice } from './tail-source.ts'

export interface TailPlan extends StreamShape {
  readonly topicId: string
  readonly isWholeTopic: boolean
  readonly positions: number[]
  /** What the client is told first. */
  readonly notices: readonly Chunk[]
}

export interface TailRequest {
  readonly topic: string
  readonly query: TailQuery
  /** Of the header Last-Event-ID; empty: none. */
  readonly lastEventId: string
  readonly kind: TailKind
}

/** @throws HttpProblem that says what to ask for instead */
export async function planTail(backend: LogBackend, request: TailRequest): Promise<TailPlan> {
  const wishes = request.query
  const view = backend.topic(request.topic)
  if (view === null) throw noTopic(request.topic)
  const partitions = partitionsOf(wishes.partition, view)
  const { kind, topic } = request
  const shape: StreamShape = { topic, partitions, encoding: wishes.encoding, kind }
  const start = startOf(wishes, request.lastEventId, partitions)
  const positions: number[] = []
  for (const partition of partitions) {
    positions.push(await positionIn(backend, topic, partition, start))
  }
  const notices: Chunk[] = []
  if (start.given !== null) {
    const resets = await resetsOf(backend, shape, positions, start)
    notices.push(...resets)
  }
  const isWholeTopic = wishes.partition === undefined
  return { ...shape, topicId: view.id, isWholeTopic, positions, notices }
}

function partitionsOf(text: string | undefined, view: TopicView): number[] {
  const { name, partitionCount } = view
  if (text === undefined) {
    if (partitionCount <= partitionsMax) return Array.from({ length: partitionCount }, (_, i) => i)
    const why = `topic ${name} has ${partitionCount} partitions, a tail follows up to ${partitionsMax}`
    throw new HttpProblem(400, `${why}: name some, as in partition=0,1,2`)
  }
  const partitions = [...new Set(text.split(',').map(Number))].toSorted((a, b) => a - b)
  if (partitions.length > partitionsMax) {
    throw new HttpProblem(400, `a tail follows up to ${partitionsMax} partitions`)
  }
  const missing = partitions.find(partition => partition >= partitionCount)
  if (missing !== undefined) throw noPartition(name, missing, partitionCount)
  return partitions
}

interface Start {
  /** Positions that the client names; partitions that are not in it begin at their start. */
  readonly given: ReadonlyMap<number, number> | null
  /** Where to begin else, and where the named positions do not exist. */
  readonly otherwise: 'latest' | 'earliest' | { readonly timestampMs: number }
}

function startOf(wishes: TailQuery, lastEventId: string, partitions: readonly number[]): Start {
  const { from, timestamp } = wishes
  const isWord = from === 'latest' || from === 'earliest'
  const named = from === undefined || isWord ? null : givenPositions('from', from, partitions)
  const otherwise = timestamp === undefined ? (isWord ? from : 'latest') : timeOf(timestamp)
  if (lastEventId === '') return { given: named, otherwise }
  return { given: givenPositions('Last-Event-ID', lastEventId, partitions), otherwise }
}

function timeOf(text: string): { timestampMs: number } {
  return { timestampMs: /^\d+$/.test(text) ? Number(text) : Math.max(0, Date.parse(text)) }
}

function givenPositions(
  what: string,
  text: string,
  partitions: readonly number[],
): ReadonlyMap<number, number> {
  const isOffset = /^\d{1,16}$/.test(text) && partitions.length === 1
  const positions = parsePositions(isOffset ? `${partitions[0]}:${text}` : text)
  if (positions === null) {
    const words = what === 'from' ? 'latest, earliest, or ' : ''
    throw new HttpProblem(400, `${what} ${echoed(text)} must be ${words}a position as 0:17,1:4`)
  }
  for (const partition of positions.keys()) {
    if (partitions.includes(partition)) continue
    const why = `${what} names partition ${partition}, which this tail does not follow`
    throw new HttpProblem(400, `${why}: leave ${what} out to begin anew`)
  }
  return positions
}

/** @throws HttpProblem 503 when the position depends on a log that is not open */
async function positionIn(
  backend: LogBackend,
  topic: string,
  partition: number,
  { given, otherwise }: Start,
): Promise<number> {
  const named = given?.get(partition)
  if (named !== undefined) return named
  return await placeIn(backend, topic, partition, given === null ? otherwise : 'earliest')
}

async function placeIn(
  backend: LogBackend,
  topic: string,
  partition: number,
  place: Start['otherwise'],
): Promise<number> {
  const offsets = backend.offsets(topic, partition)
  if (offsets === null) {
    const why = `${topic}-${partition} is not open now; /readyz says why`
    throw new HttpProblem(503, `${why}. partition= follows others only`)
  }
  if (place === 'latest') return offsets.highWatermark
  if (place === 'earliest') return offsets.logStart
  const found = await backend.offsetForTime(topic, partition, place.timestampMs)
  if (typeof found === 'number') return found
  if (isRefusal(found)) throw kafkaProblem(found.errorCode, found.message)
  return offsets.highWatermark
}

/** Moves positions that a partition does not have (any more) to where the client wants to begin else. */
async function resetsOf(
  backend: LogBackend,
  shape: StreamShape,
  positions: number[],
  { otherwise }: Start,
): Promise<Chunk[]> {
  const { topic, partitions } = shape
  const maker = new ChunkMaker(shape)
  const notices: Chunk[] = []
  for (const [slot, partition] of partitions.entries()) {
    const end = backend.offsets(topic, partition)?.highWatermark ?? null
    if (end === null || positions[slot] <= end) continue
    const next = await placeIn(backend, topic, partition, otherwise)
    notices.push(resetNotice(maker, slot, positions, next, end))
    positions[slot] = next
  }
  return notices
}
