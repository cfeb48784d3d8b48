/**
 * What happened in a group lately: a bounded ring in memory, for whoever asks why there was a rebalance. Dispatcher
 * thread. Not kept over a restart.
 *
 *   rebalancing ── why    generation ── who joined last, after how long    stable ── how long it took in all
 *   expired, late ── which setting decided      returned ── how long after, so by how much that setting was too short
 */

export type TimelineKind =
  /** Members. */
  | 'joined'
  | 'rejoined'
  | 'left'
  /** Did not join within the rebalance timeout, or did not fetch its assignment. */
  | 'late'
  | 'expired'
  /** Took over the instance id of another, which is fenced from then on. */
  | 'replaced'
  | 'fenced'
  /** Was dropped or fenced before, and asks for something again. */
  | 'returned'
  | 'refused'
  | 'disconnected'
  /** The group. */
  | 'rebalancing'
  | 'generation'
  | 'stable'
  | 'empty'
  | 'restored'
  | 'failed'

export interface TimelineEvent {
  /** The last time, if it happened several times. */
  readonly wallMs: number
  readonly kind: TimelineKind
  readonly generation: number
  readonly memberId: string | null
  readonly groupInstanceId: string | null
  readonly clientId: string | null
  readonly clientHost: string | null
  /** In words, for people. */
  readonly detail: string
  /** The setting that decided, with its value: `session.timeout.ms=45000`. */
  readonly decidedBy: string | null
  /**
   * `generation`: how long members were waited for, `stable`: since the rebalance began, `late`: how long this one was
   * waited for, `returned`: since it was dropped. Null for all others.
   */
  readonly elapsedMs: number | null
  /** More than 1 where a client is refused again and again. */
  readonly times: number
}

/** What is said beyond the kind and the words. */
export interface TimelineFacts {
  readonly decidedBy?: string | null
  readonly elapsedMs?: number | null
}

export const timelineLengthMax = 200
/** Reasons, names and ids come from clients. */
const detailLengthMax = 200
const nameLengthMax = 300
const goneMax = 20

/** A copy: a slice would keep all of a long text in memory. */
function headOf(text: string, lengthMax: number): string {
  return text.length > lengthMax ? Buffer.from(text.slice(0, lengthMax)).toString() : text
}
const nameOf = (text: string | null | undefined): string | null =>
  text ? headOf(text, nameLengthMax) : null

/** Of a member as far as the timeline is concerned. */
export interface TimelineMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
}

/** As `1 member`. */
export const membersText = (count: number): string => `${count} member${count === 1 ? '' : 's'}`

export class Timeline {
  readonly #events: TimelineEvent[] = []
  #next = 0

  add(
    at: { readonly wallMs: number; readonly generation: number },
    kind: TimelineKind,
    member: TimelineMember | null,
    detail: string,
    { decidedBy = null, elapsedMs = null }: TimelineFacts = {},
  ): TimelineEvent {
    const event: TimelineEvent = {
      wallMs: at.wallMs,
      kind,
      generation: at.generation,
      memberId: nameOf(member?.memberId),
      groupInstanceId: nameOf(member?.groupInstanceId),
      clientId: nameOf(member?.clientId),
      clientHost: nameOf(member?.clientHost),
      detail: headOf(detail, detailLengthMax),
      decidedBy,
      elapsedMs: elapsedMs === null ? null : Math.round(elapsedMs),
      times: 1,
    }
    if (this.#isRepeated(event)) return event
    this.#events[this.#next] = event
    this.#next = (this.#next + 1) % timelineLengthMax
    return event
  }

  /** Oldest first. */
  list(): TimelineEvent[] {
    return [...this.#events.slice(this.#next), ...this.#events.slice(0, this.#next)]
  }

  /** A client that is refused tries again and again: that must not push everything else out. */
  #isRepeated(event: TimelineEvent): boolean {
    const at = (this.#next + timelineLengthMax - 1) % timelineLengthMax
    const last = this.#events[at]
    if (event.kind !== 'refused' || last?.kind !== 'refused') return false
    const isSame =
      last.detail === event.detail &&
      last.decidedBy === event.decidedBy &&
      last.clientId === event.clientId &&
      last.clientHost === event.clientHost
    if (isSame) this.#events[at] = { ...event, times: last.times + 1 }
    return isSame
  }
}

/** Who was dropped or fenced and may not know. */
interface Gone {
  readonly member: TimelineMember
  /** When, on the monotonic clock. */
  readonly sinceMs: number
  /** What is said when it is heard of again. */
  readonly detail: string
  readonly decidedBy: string
}

/** The last few of a group who were dropped: when one of them asks for something again it was slow, not dead. */
export class GoneMembers {
  readonly #members = new Map<string, Gone>()

  add(gone: Gone): void {
    const { memberId, groupInstanceId, clientId, clientHost } = gone.member
    // Not the member itself: it has metadata and an assignment.
    const member = { memberId, groupInstanceId, clientId, clientHost }
    this.#members.set(memberId, { ...gone, member })
    if (this.#members.size <= goneMax) return
    for (const oldest of this.#members.keys()) {
      this.#members.delete(oldest)
      break
    }
  }

  /** Each is told once. */
  take(memberId: string): Gone | null {
    const gone = this.#members.get(memberId)
    this.#members.delete(memberId)
    return gone ?? null
  }
}
