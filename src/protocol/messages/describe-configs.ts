/** DescribeConfigs 0-4 (KIP-133, KIP-226 synonyms, KIP-569 types and documentation). Null keys: all of them. */
import {
  api,
  array,
  bool,
  int8,
  int16,
  int32,
  nullableArray,
  nullableString,
  since,
  string,
  until,
} from '../schema.ts'

export const DescribeConfigs = api({
  name: 'DescribeConfigs',
  key: 32,
  versions: [0, 4],
  flexible: 4,
  request: {
    resources: array({
      resourceType: int8,
      resourceName: string,
      configurationKeys: nullableArray(string),
    }),
    includeSynonyms: since(1, bool),
    includeDocumentation: since(3, bool),
  },
  response: {
    throttleTimeMs: int32,
    results: array({
      errorCode: int16,
      errorMessage: nullableString,
      resourceType: int8,
      resourceName: string,
      configs: array({
        name: string,
        value: nullableString,
        readOnly: bool,
        isDefault: until(0, bool),
        configSource: since(1, int8, -1),
        isSensitive: bool,
        synonyms: since(1, array({ name: string, value: nullableString, source: int8 })),
        configType: since(3, int8),
        documentation: since(3, nullableString),
      }),
    }),
  },
})
