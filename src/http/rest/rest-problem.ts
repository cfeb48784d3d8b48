/**
 * Codes of the REST Proxy v2 answers: five digits, of which the first three are the status, as its clients know them.
 * Where it has none for what happened here (an instance that idled out, too many of them) ours follow the same rule.
 * Dispatcher thread.
 */
import { Errors, errorName, isRetriable } from '../../protocol/errors.ts'
import { HttpProblem } from '../problem.ts'

export const RestCode = {
  badJson: 400,
  badOption: 40001,
  topicNotFound: 40401,
  partitionNotFound: 40402,
  instanceNotFound: 40403,
  notReady: 40404,
  formatMismatch: 40601,
  timedOut: 40801,
  instanceExists: 40902,
  illegalState: 40903,
  instanceGone: 41001,
  tooLarge: 41301,
  badMediaType: 41501,
  notJson: 42203,
  badConfig: 42204,
  noSchemas: 42205,
  badPayload: 42206,
  tooManyInstances: 42901,
  kafkaError: 50002,
  unavailable: 50301,
} as const

export function restProblem(code: number, message: string): HttpProblem {
  const status = code < 1000 ? code : Math.floor(code / 100)
  return new HttpProblem(status, message, code)
}

/** What a refusal of the group means to whoever runs the instance. */
const groupCodes: ReadonlyMap<number, readonly [code: number, what: string]> = new Map([
  [
    Errors.UNKNOWN_MEMBER_ID,
    [
      RestCode.illegalState,
      'the group has other members and this instance is none: subscribe first, or use a group of its own',
    ],
  ],
  [
    Errors.ILLEGAL_GENERATION,
    [RestCode.illegalState, 'its partitions were shared out anew meanwhile: ask for records again'],
  ],
  [
    Errors.REBALANCE_IN_PROGRESS,
    [RestCode.timedOut, 'the group is sharing out its partitions anew: try again in a moment'],
  ],
  [
    Errors.REQUEST_TIMED_OUT,
    [RestCode.timedOut, 'the group is sharing out its partitions anew: try again in a moment'],
  ],
  [
    Errors.INCONSISTENT_GROUP_PROTOCOL,
    [
      RestCode.illegalState,
      'its members assign partitions in none of the ways that instances know: range, roundrobin',
    ],
  ],
  [
    Errors.GROUP_MAX_SIZE_REACHED,
    [RestCode.tooManyInstances, 'it is full (group.max.size), or there are too many (max.groups)'],
  ],
  [
    Errors.INVALID_REQUEST,
    [
      RestCode.badPayload,
      'the topics asked for are more than a member may (group.member.max.bytes)',
    ],
  ],
  [Errors.INVALID_GROUP_ID, [RestCode.badConfig, 'not a group id']],
])

export function groupProblem(errorCode: number, group: string): HttpProblem {
  const [code, what] = groupCodes.get(errorCode) ?? [
    isRetriable(errorCode) ? RestCode.unavailable : RestCode.kafkaError,
    errorName(errorCode),
  ]
  return restProblem(code, `group ${group}: ${what}`)
}
