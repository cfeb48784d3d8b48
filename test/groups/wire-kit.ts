/** Group members over raw sockets: the requests of one version, sent when the test says so. */
import { Errors } from '../../src/protocol/errors.ts'
import { Heartbeat } from '../../src/protocol/messages/heartbeat.ts'
import { JoinGroup } from '../../src/protocol/messages/join-group.ts'
import { LeaveGroup } from '../../src/protocol/messages/leave-group.ts'
import { SyncGroup } from '../../src/protocol/messages/sync-group.ts'
import type { RequestOf, ResponseOf } from '../../src/protocol/schema.ts'
import type { WireClient } from '../support/wire-client.ts'

export type JoinRequest = RequestOf<typeof JoinGroup>
export type JoinResponse = ResponseOf<typeof JoinGroup>

export function joinRequest(groupId: string, options: Partial<JoinRequest> = {}): JoinRequest {
  return {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    memberId: '',
    groupInstanceId: null,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('topics') }],
    reason: null,
    ...options,
  }
}

export class Member {
  readonly client: WireClient
  readonly groupId: string
  /** Of JoinGroup; those of the other requests follow from it. */
  readonly version: number
  memberId = ''
  generation = -1
  instanceId: string | null = null

  constructor(client: WireClient, groupId: string, version = 9) {
    this.client = client
    this.groupId = groupId
    this.version = version
  }

  /** Joins, twice where an id is asked for first; remembers what it is told. */
  async join(options: Partial<JoinRequest> = {}): Promise<JoinResponse> {
    const { memberId, instanceId: groupInstanceId, version } = this
    const request = joinRequest(this.groupId, { memberId, groupInstanceId, ...options })
    const answer = await this.client.request(JoinGroup, version, request)
    if (answer.errorCode === Errors.MEMBER_ID_REQUIRED) {
      this.memberId = answer.memberId
      return await this.join({ ...options, memberId: answer.memberId })
    }
    if (answer.errorCode === Errors.NONE) {
      this.memberId = answer.memberId
      this.generation = answer.generationId
    }
    return answer
  }

  async sync(assignments: Readonly<Record<string, string>> = {}, version = 5) {
    const answer = await this.client.request(SyncGroup, version, {
      groupId: this.groupId,
      generationId: this.generation,
      memberId: this.memberId,
      groupInstanceId: this.instanceId,
      protocolType: version >= 5 ? 'consumer' : null,
      protocolName: version >= 5 ? 'range' : null,
      assignments: Object.entries(assignments).map(([memberId, text]) => ({
        memberId,
        assignment: Buffer.from(text),
      })),
    })
    return { ...answer, assignment: answer.assignment.toString() }
  }

  heartbeatRequest(): RequestOf<typeof Heartbeat> {
    const { groupId, memberId, generation: generationId, instanceId: groupInstanceId } = this
    return { groupId, generationId, memberId, groupInstanceId }
  }

  async heartbeat(version = 4): Promise<number> {
    return (await this.client.request(Heartbeat, version, this.heartbeatRequest())).errorCode
  }

  async leave(version = 5): Promise<ResponseOf<typeof LeaveGroup>> {
    const { groupId, memberId, instanceId: groupInstanceId } = this
    const row = { memberId, groupInstanceId, reason: null }
    return await this.client.request(LeaveGroup, version, {
      groupId,
      memberId: version < 3 ? memberId : '',
      members: version < 3 ? [] : [row],
    })
  }
}
