/**
 * One member of a group: what it said of itself, what it waits for, and until when it counts as alive. Dispatcher
 * thread.
 */
import type { Clock } from '../contracts/clock.ts'
import type {
  Answer,
  Caller,
  JoinAnswer,
  JoinRequest,
  MemberProtocol,
  SyncAnswer,
} from './calls.ts'
import { Deadline } from './deadline.ts'
import type { MemberSnapshot } from './types.ts'

export const noBytes = new Uint8Array(0)

export class Member {
  readonly memberId: string
  readonly groupInstanceId: string | null
  clientId: string
  clientHost: string
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  protocols: readonly MemberProtocol[]
  assignment: Uint8Array = noBytes
  /** Parked JoinGroup and SyncGroup. */
  join: Answer<JoinAnswer> | null = null
  sync: Answer<SyncAnswer> | null = null
  /** Has joined and was never told so: its client may not know yet that it is a member. */
  isNew = true
  /** Its client learned the member id before it joined, so that it can come back after a lost connection. */
  readonly isKnownToClient: boolean
  /** Has asked for the assignment of this generation. */
  hasSynced = false
  /** When it counts as dead; not set while one of its calls is parked. */
  readonly session: Deadline

  constructor(
    identity: { memberId: string; groupInstanceId: string | null; isKnownToClient: boolean },
    asked: Pick<JoinRequest, 'sessionTimeoutMs' | 'rebalanceTimeoutMs' | 'protocols'>,
    caller: Caller,
    clock: Clock,
    onExpired: (member: Member) => void,
  ) {
    this.memberId = identity.memberId
    this.groupInstanceId = identity.groupInstanceId
    this.isKnownToClient = identity.isKnownToClient
    this.clientId = caller.clientId
    this.clientHost = caller.clientHost
    this.sessionTimeoutMs = asked.sessionTimeoutMs
    this.rebalanceTimeoutMs = asked.rebalanceTimeoutMs
    this.protocols = asked.protocols
    this.session = new Deadline(clock, () => onExpired(this))
  }

  /** Heard of: alive for another session timeout, unless it waits for us. */
  heard(): void {
    if (this.join === null && this.sync === null) this.session.set(this.sessionTimeoutMs)
  }

  metadataOf(protocol: string | null): Uint8Array {
    return this.protocols.find(({ name }) => name === protocol)?.metadata ?? noBytes
  }

  /** The same protocols in the same order with the same metadata. */
  offers(protocols: readonly MemberProtocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      protocols.every(({ name, metadata }, index) => {
        const mine = this.protocols[index] as MemberProtocol
        return mine.name === name && Buffer.compare(mine.metadata, metadata) === 0
      })
    )
  }

  snapshot(protocol: string | null): MemberSnapshot {
    const { memberId, groupInstanceId, clientId, clientHost } = this
    const { sessionTimeoutMs, rebalanceTimeoutMs, assignment } = this
    return {
      memberId,
      groupInstanceId,
      clientId,
      clientHost,
      sessionTimeoutMs,
      rebalanceTimeoutMs,
      subscription: this.metadataOf(protocol),
      assignment,
    }
  }
}

/** What a member keeps in memory besides its metadata and assignment, about; one that was only given an id likewise. */
export const memberOverheadBytes = 1000

/** What a protocol keeps in memory besides its name and metadata, about: thousands with names of a letter are much. */
const protocolOverheadBytes = 300

/** What `protocols` and an assignment keep in memory. */
export function keptBytes(protocols: readonly MemberProtocol[], assignment: Uint8Array): number {
  let bytes = assignment.length
  for (const { name, metadata } of protocols)
    bytes += protocolOverheadBytes + name.length + metadata.length
  return bytes
}

/** The protocols of a request for keeps: bytes copied out of the frame, names once. */
export function ownProtocols(protocols: readonly MemberProtocol[]): MemberProtocol[] {
  const byName = new Map<string, MemberProtocol>()
  for (const { name, metadata } of protocols) {
    if (!byName.has(name)) byName.set(name, { name, metadata: new Uint8Array(metadata) })
  }
  return [...byName.values()]
}
