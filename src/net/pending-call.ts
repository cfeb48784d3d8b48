/**
 * One request between its arrival and the moment its answer leaves. Dispatcher thread. Answers leave a connection in
 * request order: a call that is done early waits, encoded, behind the ones before it.
 */
import type { Call, Principal } from '../apis/api-row.ts'
import type { Region } from '../ring/arena.ts'
import type { ServedApi } from './api-table.ts'
import type { Block } from './block-pool.ts'
import type { Connection } from './connection.ts'

export class PendingCall implements Call {
  readonly connection: Connection
  readonly api: ServedApi
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** Arena block that the request's bytes lie in; set for produce requests only. */
  readonly block: Block | null
  readonly requestBytes: number
  /** Monotonic time of the read that completed it. */
  receivedMs = 0
  /** False for acks=0: nothing is sent and the order of answers does not know this call. */
  expectsResponse = true
  /** The encoded answer, while it waits for earlier ones. */
  pieces: Uint8Array[] | null = null
  /** Response arena regions that the pieces refer to; freed when the socket has taken them. */
  regions: Region[] | null = null
  /** Called when the connection closes before the answer was given: parked work has nothing to wait for. */
  onAbandoned: (() => void) | null = null

  constructor(
    connection: Connection,
    api: ServedApi,
    apiVersion: number,
    correlationId: number,
    clientId: string | null,
    block: Block | null,
    requestBytes: number,
  ) {
    this.connection = connection
    this.api = api
    this.apiVersion = apiVersion
    this.correlationId = correlationId
    this.clientId = clientId
    this.block = block
    this.requestBytes = requestBytes
  }

  get principal(): Principal {
    return this.connection.principal
  }

  get remoteHost(): string {
    return this.connection.remoteHost
  }

  /** True once nobody will read the answer; parked work should stop. */
  get abandoned(): boolean {
    return this.connection.closed
  }

  respond(response: unknown): void {
    this.connection.answer(this, response)
  }

  /** As `respond`, for answers that refer to regions of the response arena. */
  respondWithRegions(response: unknown, regions: Region[]): void {
    this.regions = regions
    this.connection.answer(this, response)
  }

  /** An acks=0 request is through; on an error its connection is closed, as Kafka does, since no answer can tell. */
  finishSilently(errorName: string | null): void {
    this.connection.finishSilently(this, errorName)
  }
}
