/** DescribeAcls, CreateAcls, DeleteAcls 0-3 (KIP-140, KIP-290). Resources, patterns and operations are codes. */
import { api, array, int8, int16, int32, nullableString, since, string } from '../schema.ts'

/** Before version 1 every name was meant literally. */
const literalPattern = 3
const patternType = since(1, int8, literalPattern)

export const DescribeAcls = api({
  name: 'DescribeAcls',
  key: 29,
  versions: [0, 3],
  flexible: 2,
  request: {
    resourceTypeFilter: int8,
    resourceNameFilter: nullableString,
    patternTypeFilter: patternType,
    principalFilter: nullableString,
    hostFilter: nullableString,
    operation: int8,
    permissionType: int8,
  },
  response: {
    throttleTimeMs: int32,
    errorCode: int16,
    errorMessage: nullableString,
    resources: array({
      resourceType: int8,
      resourceName: string,
      patternType,
      acls: array({ principal: string, host: string, operation: int8, permissionType: int8 }),
    }),
  },
})

export const CreateAcls = api({
  name: 'CreateAcls',
  key: 30,
  versions: [0, 3],
  flexible: 2,
  request: {
    creations: array({
      resourceType: int8,
      resourceName: string,
      resourcePatternType: patternType,
      principal: string,
      host: string,
      operation: int8,
      permissionType: int8,
    }),
  },
  response: {
    throttleTimeMs: int32,
    results: array({ errorCode: int16, errorMessage: nullableString }),
  },
})

export const DeleteAcls = api({
  name: 'DeleteAcls',
  key: 31,
  versions: [0, 3],
  flexible: 2,
  request: {
    filters: array({
      resourceTypeFilter: int8,
      resourceNameFilter: nullableString,
      patternTypeFilter: patternType,
      principalFilter: nullableString,
      hostFilter: nullableString,
      operation: int8,
      permissionType: int8,
    }),
  },
  response: {
    throttleTimeMs: int32,
    filterResults: array({
      errorCode: int16,
      errorMessage: nullableString,
      matchingAcls: array({
        errorCode: int16,
        errorMessage: nullableString,
        resourceType: int8,
        resourceName: string,
        patternType,
        principal: string,
        host: string,
        operation: int8,
        permissionType: int8,
      }),
    }),
  },
})
