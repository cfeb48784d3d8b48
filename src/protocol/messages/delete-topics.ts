/** DeleteTopics 0-6: by name up to v5, by name or id from v6 on. */
import {
  api,
  array,
  int16,
  int32,
  nullable,
  nullableString,
  since,
  string,
  until,
  uuid,
} from '../schema.ts'

export const DeleteTopics = api({
  name: 'DeleteTopics',
  key: 20,
  versions: [0, 6],
  flexible: 4,
  request: {
    topics: since(6, array({ name: nullableString, topicId: uuid })),
    topicNames: until(5, array(string)),
    timeoutMs: int32,
  },
  response: {
    throttleTimeMs: since(1, int32),
    responses: array({
      name: nullable(string, 6),
      topicId: since(6, uuid),
      errorCode: int16,
      errorMessage: since(5, nullableString),
    }),
  },
})
