/** AlterConfigs 0-2 (KIP-133): replaces all configs of a resource. Newer clients send IncrementalAlterConfigs. */
import { api, array, bool, int8, int16, int32, nullableString, string } from '../schema.ts'

export const AlterConfigs = api({
  name: 'AlterConfigs',
  key: 33,
  versions: [0, 2],
  flexible: 2,
  request: {
    resources: array({
      resourceType: int8,
      resourceName: string,
      configs: array({ name: string, value: nullableString }),
    }),
    validateOnly: bool,
  },
  response: {
    throttleTimeMs: int32,
    responses: array({
      errorCode: int16,
      errorMessage: nullableString,
      resourceType: int8,
      resourceName: string,
    }),
  },
})
