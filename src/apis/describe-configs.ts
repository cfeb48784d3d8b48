/**
 * DescribeConfigs 0-4 for topics and this broker: every config with its default, so that clients that
 * read, change and write back lose nothing. Dispatcher thread. Null or no keys mean all of them. The
 * cluster-wide default (broker with an empty name) has no dynamic configs, so its list is empty.
 * Loggers, client metrics and groups: INVALID_REQUEST.
 */
import type { ConfigEntry } from '../admin/admin-service.ts'
import { ConfigSource } from '../admin/config-entries.ts'
import { Errors } from '../protocol/errors.ts'
import { DescribeConfigs } from '../protocol/messages/describe-configs.ts'
import type { RequestOf, ResponseOf } from '../protocol/schema.ts'
import type { Services } from '../services.ts'
import type { ApiRow } from './api-row.ts'
import { kindOf } from './config-resources.ts'
import { rowError } from './row-errors.ts'

type DescribeConfigsRequest = RequestOf<typeof DescribeConfigs>
type DescribeConfigsResponse = ResponseOf<typeof DescribeConfigs>
type Resource = DescribeConfigsRequest['resources'][number]
type ResourceRow = DescribeConfigsResponse['results'][number]
type ConfigRow = ResourceRow['configs'][number]

export const describeConfigs: ApiRow<DescribeConfigsRequest, DescribeConfigsResponse> = {
  schema: DescribeConfigs,
  resource: 'topic',
  operation: 'describe-configs',
  handle(request, _call, services) {
    const { resources } = request
    const results = unique(resources).map(resource => describe(resource, request, services))
    return { throttleTimeMs: 0, results }
  },
}

/** A resource that is named again and again is answered once: its list is far longer than its name. */
function unique(resources: readonly Resource[]): Resource[] {
  const keyOf = ({ resourceType, resourceName }: Resource) => `${resourceType} ${resourceName}`
  return [...new Map(resources.map(resource => [keyOf(resource), resource])).values()]
}

function describe(
  resource: Resource,
  request: DescribeConfigsRequest,
  services: Services,
): ResourceRow {
  const { resourceType, resourceName } = resource
  try {
    const configs = entriesOf(resource, services).map(entry => configRow(entry, request))
    return { errorCode: Errors.NONE, errorMessage: null, resourceType, resourceName, configs }
  } catch (error) {
    return { ...rowError(error), resourceType, resourceName, configs: [] }
  }
}

function entriesOf(resource: Resource, { admin, nodeId }: Services): ConfigEntry[] {
  const { resourceName, configurationKeys } = resource
  const names = configurationKeys?.length === 0 ? null : configurationKeys
  const kind = kindOf(resource, nodeId)
  if (kind === 'topic') return admin.describeTopicConfigs(resourceName, names)
  return kind === 'broker' ? admin.describeBrokerConfigs(names) : []
}

function configRow(entry: ConfigEntry, request: DescribeConfigsRequest): ConfigRow {
  return {
    name: entry.name,
    value: entry.sensitive ? null : entry.value,
    readOnly: entry.readOnly,
    isDefault: entry.source === ConfigSource.DEFAULT,
    configSource: entry.source,
    isSensitive: entry.sensitive,
    synonyms: request.includeSynonyms ? [...entry.synonyms] : [],
    configType: entry.type,
    documentation: request.includeDocumentation ? entry.documentation : null,
  }
}
