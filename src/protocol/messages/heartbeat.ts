/** Heartbeat 0-4. */
import { api, int16, int32, nullableString, since, string } from '../schema.ts'

export const Heartbeat = api({
  name: 'Heartbeat',
  key: 12,
  versions: [0, 4],
  flexible: 4,
  request: {
    groupId: string,
    generationId: int32,
    memberId: string,
    groupInstanceId: since(3, nullableString),
  },
  response: { throttleTimeMs: since(1, int32), errorCode: int16 },
})
