/**
 * DescribeAcls, CreateAcls and DeleteAcls 0-3 of a broker without an authorizer: SECURITY_DISABLED, as Kafka answers
 * then. Clients and consoles take it for "no access control here" and show no error. Dispatcher thread.
 */
import { Errors } from '../protocol/errors.ts'
import { CreateAcls, DeleteAcls, DescribeAcls } from '../protocol/messages/acls.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { ApiRow } from './api-row.ts'

const refusal = {
  errorCode: Errors.SECURITY_DISABLED,
  errorMessage: 'odradek has no access control: every client may do everything.',
}

export const describeAcls: ApiRow<
  RequestOf<typeof DescribeAcls>,
  ResponseOf<typeof DescribeAcls>
> = {
  schema: DescribeAcls,
  resource: 'cluster',
  operation: 'describe',
  handle() {
    return { throttleTimeMs: 0, ...refusal, resources: [] }
  },
}

export const createAcls: ApiRow<RequestOf<typeof CreateAcls>, ResponseOf<typeof CreateAcls>> = {
  schema: CreateAcls,
  resource: 'cluster',
  operation: 'alter',
  handle({ creations }) {
    return { throttleTimeMs: 0, results: creations.map(() => refusal) }
  },
}

export const deleteAcls: ApiRow<RequestOf<typeof DeleteAcls>, ResponseOf<typeof DeleteAcls>> = {
  schema: DeleteAcls,
  resource: 'cluster',
  operation: 'alter',
  handle({ filters }) {
    return {
      throttleTimeMs: 0,
      filterResults: filters.map(() => ({ ...refusal, matchingAcls: [] })),
    }
  },
}
