/**
 * What members ask of the group coordinator and what they are answered: plain values, one shape for all versions.
 * Types only. Bytes are opaque; those of a request are views that the coordinator copies before it keeps them.
 */

/** Who is at the other end of the connection. */
export interface Caller {
  readonly clientId: string
  /** As DescribeGroups shows it: `/127.0.0.1`. */
  readonly clientHost: string
}

/** A way of assigning that a member can do, with what its leader must know of it. */
export interface MemberProtocol {
  readonly name: string
  readonly metadata: Uint8Array
}

export interface JoinRequest {
  readonly groupId: string
  /** Empty: a new one. */
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly MemberProtocol[]
  readonly reason: string | null
  /** The client knows MEMBER_ID_REQUIRED (v4+, KIP-394). */
  readonly knowsMemberIdRequired: boolean
  /** The client knows skip_assignment (v9+, KIP-814). */
  readonly knowsSkipAssignment: boolean
}

export interface JoinAnswer {
  readonly errorCode: number
  /** -1 with an error. */
  readonly generation: number
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly leader: string
  readonly skipAssignment: boolean
  readonly memberId: string
  /** For the leader only: everybody, with the metadata of the chosen protocol. */
  readonly members: readonly JoinedMember[]
}

export interface JoinedMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly metadata: Uint8Array
}

/** What every call after the join says of its member. */
export interface MemberRef {
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly generation: number
}

export interface SyncRequest extends MemberRef {
  /** Null: not said (before v5). */
  readonly protocolType: string | null
  readonly protocol: string | null
  /** The leader's; everybody else sends none. */
  readonly assignments: readonly { readonly memberId: string; readonly assignment: Uint8Array }[]
}

export interface SyncAnswer {
  readonly errorCode: number
  readonly protocolType: string | null
  readonly protocol: string | null
  readonly assignment: Uint8Array
}

export interface LeaveRow {
  /** Empty together with an instance id: whoever has that instance id. */
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly reason: string | null
}

export interface LeaveAnswer {
  readonly errorCode: number
  /** One code for each row of the request; none when the whole request failed. */
  readonly rows: readonly number[]
}

/**
 * Takes the answer of a call that may have been parked; called exactly once unless the call is abandoned. It must not
 * call the coordinator back before it returns.
 */
export type Answer<T> = (answer: T) => void

/** Ends the wait of a parked call whose client has gone; after the answer it does nothing. */
export type Abandon = () => void

export interface GroupDescription {
  readonly groupId: string
  readonly state: string
  readonly protocolType: string
  /** The chosen protocol; empty unless the group is stable. */
  readonly protocol: string
  readonly generation: number
  readonly leader: string | null
  readonly members: readonly {
    readonly memberId: string
    readonly groupInstanceId: string | null
    readonly clientId: string
    readonly clientHost: string
    readonly sessionTimeoutMs: number
    readonly rebalanceTimeoutMs: number
    readonly metadata: Uint8Array
    readonly assignment: Uint8Array
  }[]
}

export interface GroupListing {
  readonly groupId: string
  readonly protocolType: string
  readonly state: string
  readonly members: number
}
