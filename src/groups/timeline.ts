/**
 * What happened in a group lately: a bounded ring in memory, for whoever asks why there was a rebalance. Dispatcher
 * thread. Not kept over a restart.
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
}

export const timelineLengthMax = 200
/** Reasons come from clients. */
const detailLengthMax = 200

/** Of a member as far as the timeline is concerned. */
export interface TimelineMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
}

export class Timeline {
  readonly #events: TimelineEvent[] = []
  #next = 0

  add(
    at: { readonly wallMs: number; readonly generation: number },
    kind: TimelineKind,
    member: TimelineMember | null,
    detail: string,
    decidedBy: string | null = null,
  ): void {
    const event: TimelineEvent = {
      wallMs: at.wallMs,
      kind,
      generation: at.generation,
      memberId: member?.memberId ?? null,
      groupInstanceId: member?.groupInstanceId ?? null,
      clientId: member?.clientId ?? null,
      clientHost: member?.clientHost ?? null,
      detail: detail.slice(0, detailLengthMax),
      decidedBy,
    }
    this.#events[this.#next] = event
    this.#next = (this.#next + 1) % timelineLengthMax
  }

  /** Oldest first. */
  list(): TimelineEvent[] {
    return [...this.#events.slice(this.#next), ...this.#events.slice(0, this.#next)]
  }
}
