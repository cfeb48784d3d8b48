/** Why a connection is not read for a while: bits, several may hold at once. Dispatcher thread. */
import { labelled } from '../metrics.ts'

export const Mute = {
  /** The request arena is full. */
  arena: 1,
  /** Too much of it is in flight. */
  inFlight: 2,
  /** Its peer does not take the answers. */
  backlog: 4,
  /** Its next request is a fetch, and one is being answered. */
  fetch: 8,
} as const

const metricOf = new Map<number, number>([
  [Mute.arena, labelled('mutes', 'arena')],
  [Mute.inFlight, labelled('mutes', 'requests')],
  [Mute.backlog, labelled('mutes', 'responses')],
  [Mute.fetch, labelled('mutes', 'requests')],
])

/** @returns the id of the counter of mutes for one reason */
export function mutedBy(reason: number): number {
  return metricOf.get(reason) as number
}
