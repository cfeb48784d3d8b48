/**
 * What the compatibility scenarios ask of a client. A driver is a small program around one real client; it speaks JSON
 * lines on stdin and stdout (process-driver.ts), so that it may be written in the client's own language and a member
 * of a group can be killed. Drivers in TypeScript implement `Calls` and are served by serve-driver.ts; kcat, being a
 * program itself, implements `Client` directly.
 *
 *     runner --> driver   {"id":1,"call":"hello","args":{"bootstrap":"127.0.0.1:40123"}}
 *     runner <-- driver   {"id":1,"result":{"name":"kafkajs","version":"2.2.4","cannot":{}}}
 *                     or  {"id":1,"error":{"name":"KafkaJSProtocolError","message":"...","code":3}}
 *
 * Bytes (keys, values of records and headers) are base64 in JSON, a missing key or value is null. Requests come one at
 * a time. The first is `hello`, the last `bye`; a driver also ends when stdin does. Only answers go to stdout.
 */
import type { CodecName } from '../../../src/protocol/compression.ts'

/** What a client may lack. A scenario that needs it is then not run, and the table says why. */
export type Ability =
  | CodecName
  | 'idempotent'
  | 'headers'
  | 'createTopic'
  | 'deleteTopic'
  | 'deleteRecords'
  | 'deleteGroup'
  | 'describeGroup'
  | 'autoCreate'
  | 'group'
  | 'staticMember'
  /** Commits when told to; without it only on leaving, and by its own timer. */
  | 'commit'
  | 'seekByTime'

export interface Hello {
  /** The client's name and version as it tells them itself. */
  readonly name: string
  readonly version: string
  /** Reasons, as sentences for the footnotes of the table: `kcat has no administrative commands`. */
  readonly cannot: Partial<Record<Ability, string>>
}

export interface TestRecord {
  /** Absent: the client's own partitioner chooses. */
  readonly partition?: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers?: readonly (readonly [name: string, value: Buffer])[]
}

export interface ReadRecord {
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly (readonly [name: string, value: Buffer])[]
}

export interface ProduceArgs {
  readonly topic: string
  readonly records: readonly TestRecord[]
  /** What is absent here is left at the client's default. */
  readonly codec?: CodecName
  readonly acks?: -1 | 0 | 1
  readonly idempotent?: boolean
  /** The client's own limit of a record or request, where it has one. */
  readonly maxRecordBytes?: number
  /** Whether the client lets (true) or forbids (false) the broker to create the topic, where it has that option. */
  readonly autoCreate?: boolean
  /** The client gives up after this time, whatever its names for that are. */
  readonly timeoutMs?: number
}

export interface Produced {
  /** One per record, in order, where the client tells them; else null. */
  readonly offsets: readonly { readonly partition: number; readonly offset: number }[] | null
}

export type ReadFrom = 'earliest' | { readonly offset: number } | { readonly timeMs: number }

export interface ConsumeArgs {
  readonly topic: string
  readonly partitions: readonly number[]
  readonly from: ReadFrom
  /** Reads until there are so many; more may be returned, they are cut off by the caller. */
  readonly count: number
  /** Then it fails, and says how many came. */
  readonly timeoutMs: number
}

export interface MemberArgs {
  readonly groupId: string
  readonly topic: string
  readonly instanceId?: string
  /** Given only where a scenario waits for a death. */
  readonly sessionTimeoutMs?: number
  /** False: commits only by `memberCommit`. Absent: the client's default. */
  readonly autoCommit?: false
  /** The broker will be away for a while: whatever the client has to be told to sit that out. */
  readonly outlivesBroker?: true
}

export interface Polled {
  /** New ones since the last poll. A member without committed offsets starts at the earliest. */
  readonly records: readonly ReadRecord[]
  /** Partitions of the topic that this member has now, sorted; empty when none. */
  readonly assignment: readonly number[]
  /** How often it was given an assignment since its start (the first one counts). */
  readonly rebalances: number
}

/** The calls of the protocol, by name. All times out on their own: a call that hangs fails the scenario. */
export interface Calls {
  hello(args: { readonly bootstrap: string }): Promise<Hello>
  createTopic(args: { readonly topic: string; readonly partitions: number }): Promise<void>
  deleteTopic(args: { readonly topic: string }): Promise<void>
  listTopics(args: Record<string, never>): Promise<readonly string[]>
  /** @returns the number of partitions. */
  describeTopic(args: { readonly topic: string }): Promise<{ readonly partitions: number }>
  /** One producer per distinct set of options, open until `bye`: so a failure shows what it does to the next call. */
  produce(args: ProduceArgs): Promise<Produced>
  /** Reads without a group, where the client can; else with a group of its own that commits nothing. */
  consume(args: ConsumeArgs): Promise<readonly ReadRecord[]>
  /** Deletes records below `before`. */
  deleteRecords(args: {
    readonly topic: string
    readonly partition: number
    readonly before: number
  }): Promise<void>
  listGroups(args: Record<string, never>): Promise<readonly string[]>
  /** State in Kafka's words (Stable, Empty, Dead...), and how many members. */
  describeGroup(args: {
    readonly groupId: string
  }): Promise<{ readonly state: string; readonly members: number }>
  deleteGroup(args: { readonly groupId: string }): Promise<void>
  /** One member per process. May answer before there is an assignment. */
  memberStart(args: MemberArgs): Promise<void>
  /** Polls the client once, for at most `maxWaitMs`; the runner polls every member all the time. */
  memberPoll(args: { readonly maxWaitMs: number }): Promise<Polled>
  /** Commits everything that was polled so far; resolves when the broker has acknowledged it. */
  memberCommit(args: Record<string, never>): Promise<void>
  /** Leaves the group. */
  memberStop(args: Record<string, never>): Promise<void>
  /** Closes everything; the process ends by itself afterwards. */
  bye(args: Record<string, never>): Promise<void>
}

/** One running client. */
export type Client = Omit<Calls, 'hello' | 'bye'> & {
  readonly hello: Hello
  /** Says bye and waits for its end; kills it when it does not end. */
  close(): Promise<void>
  /** kill -9 of the client with everything it has open: no leave, no commit. */
  kill(): Promise<void>
}

export interface ClientDriver {
  /** For `--only` and the recorded results: kafkajs, java-4.1. Lower case, digits, dots, dashes. */
  readonly id: string
  /** In the table, without version. */
  readonly title: string
  /** Null when it is there, else what is missing and the command that brings it. */
  missing(): readonly [what: string, cure: string] | null
  open(bootstrap: string): Promise<Client>
}

/** What a driver answered with: the client's own error, with Kafka's code where the client tells it. */
export class ClientError extends Error {
  readonly code: number | undefined

  constructor(name: string, message: string, code?: number) {
    super(message)
    this.name = name
    this.code = code
  }
}
