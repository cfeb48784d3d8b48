/**
 * What the group coordinator, the committed offsets and the place where both are kept tell each other: plain values, no
 * codec types. Dispatcher thread. Times ending in `Ms` are wall clock unless they say otherwise: they outlive a
 * process.
 *
 *   GroupCoordinator --save--> GroupStore <--save-- CommittedOffsets
 *          ^----------- GroupGate: may this member commit? ------'
 */

/** A member as it is kept: MemberMetadata of Kafka's GroupMetadataValue. */
export interface MemberSnapshot {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  /** As DescribeGroups shows it: `/127.0.0.1`. */
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  /** Metadata under the chosen protocol, and the assignment: opaque. */
  readonly subscription: Uint8Array
  readonly assignment: Uint8Array
}

/** A group as it is kept: Kafka's GroupMetadataValue. */
export interface GroupSnapshot {
  readonly groupId: string
  /** Null: never had a member. */
  readonly protocolType: string | null
  readonly generation: number
  readonly protocol: string | null
  readonly leader: string | null
  /** When the group entered its state; for an empty group retention counts from here. */
  readonly stateTimestampMs: number
  readonly members: readonly MemberSnapshot[]
}

export interface CommittedOffset {
  /** The next one the group will read. */
  readonly offset: number
  /** -1: not known. */
  readonly leaderEpoch: number
  readonly metadata: string
  readonly commitTimestampMs: number
  /** -1: by the group's retention. */
  readonly expireTimestampMs: number
}

/** One change of a group's offsets; a null offset takes it away. */
export interface OffsetRow {
  readonly topic: string
  readonly partition: number
  readonly offset: CommittedOffset | null
}

export interface LoadedGroups {
  readonly groups: readonly GroupSnapshot[]
  /** Group id -> topic -> partition. */
  readonly offsets: ReadonlyMap<string, ReadonlyMap<string, ReadonlyMap<number, CommittedOffset>>>
}

/**
 * Where groups are kept for good. The promises never reject: they resolve to a code of `Errors`, NONE when the change
 * is as durable as acks=all makes it. Changes of one group take effect in the order of the calls.
 */
export interface GroupStore {
  /**
   * Whether this group can be served now: NONE, COORDINATOR_LOAD_IN_PROGRESS (what is kept of it has not been read
   * yet), COORDINATOR_NOT_AVAILABLE or NOT_COORDINATOR (it cannot be read). Ask before a group is made or believed not
   * to exist.
   */
  availability(groupId: string): number
  saveGroup(snapshot: GroupSnapshot): Promise<number>
  /** The group is no more; its offsets are taken away one by one. */
  removeGroup(groupId: string): Promise<number>
  /**
   * All rows or none. `onDecided` is called once, when they are durable or will never be: that may be long after the
   * answer, which then was a retriable error.
   */
  saveOffsets(groupId: string, rows: readonly OffsetRow[], onDecided: () => void): Promise<number>
}

/** What the committed offsets need of the coordinator. */
export interface GroupGate {
  /** Whether the coordinator knows the group: somebody joined it once, or it was loaded. */
  has(groupId: string): boolean
  /**
   * May this member commit now (PROTOCOL.md 3.8 point 10)? NONE or the code of the answer; a commit counts as a
   * heartbeat. Only for groups that the coordinator has.
   */
  commitError(
    groupId: string,
    memberId: string,
    groupInstanceId: string | null,
    generation: number,
  ): number
  /** Ids of all groups the coordinator has. */
  ids(): Iterable<string>
  /**
   * May offsets of this group be taken away now? NONE, or NON_EMPTY_GROUP: it has members of which nobody knows what
   * they read, because their protocol is not the consumers'.
   */
  removeOffsetsError(groupId: string): number
  /** A live member reads this topic. */
  isSubscribed(groupId: string, topic: string): boolean
  /** No member is in the group, or it does not exist. */
  isEmpty(groupId: string): boolean
  /**
   * From when on the retention of the group's offsets counts: the time it turned empty, `commit` (each offset's own: a
   * group without the group protocol, or a stable one), or `never` (a rebalance is under way, or the members are no
   * consumers).
   */
  retentionFrom(groupId: string): number | 'commit' | 'never'
  /** Takes away an empty group whose last offset has gone. */
  remove(groupId: string): Promise<number>
}
