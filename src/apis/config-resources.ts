/**
 * What the three APIs about configs have in common: the resources that have some (topics, this broker) and how a change
 * of them is answered, one row per resource. Dispatcher thread. Only topics can be changed: broker settings hold for
 * the life of the process. Loggers, client metrics and groups: INVALID_REQUEST.
 */
import type { ConfigChange } from '../admin/admin-service.ts'
import { variableOf } from '../config/sources.ts'
import { nearest } from '../config/suggest.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import type { Services } from '../services.ts'
import { topicNameError } from '../topics/topic-names.ts'
import { duplicates, invalidRequest, rowError, shown } from './row-errors.ts'

/** Kafka's ConfigResource.Type. */
const ResourceType = { TOPIC: 2, BROKER: 4 } as const

export interface Resource {
  readonly resourceType: number
  readonly resourceName: string
}

export interface ResourceToAlter extends Resource {
  readonly configs: readonly { readonly name: string }[]
}

export interface AlteredRow extends Resource {
  errorCode: number
  errorMessage: string | null
  resourceType: number
  resourceName: string
}

/**
 * Which kind a resource is, once its name is known to be possible; `cluster` is the default of all brokers. Throws
 * INVALID_TOPIC_EXCEPTION, INVALID_REQUEST.
 */
export function kindOf(
  { resourceType, resourceName }: Resource,
  nodeId: number,
): 'topic' | 'broker' | 'cluster' {
  if (resourceType === ResourceType.TOPIC) {
    const error = topicNameError(resourceName)
    if (error !== null) throw new KafkaError(Errors.INVALID_TOPIC_EXCEPTION, error)
    return 'topic'
  }
  if (resourceType !== ResourceType.BROKER) {
    throw new KafkaError(
      Errors.INVALID_REQUEST,
      `Resource type ${resourceType} has no configs here: topics (2) and this broker (4) have`,
    )
  }
  if (resourceName === '') return 'cluster'
  if (resourceName === String(nodeId)) return 'broker'
  throw new KafkaError(
    Errors.INVALID_REQUEST,
    `Unexpected broker id ${JSON.stringify(resourceName.slice(0, 100))}: expected ${nodeId} or an empty name`,
  )
}

/** Changes resource by resource; `changeOf` throws a KafkaError for what is no change. */
export async function alterResources<R extends ResourceToAlter>(
  resources: readonly R[],
  validateOnly: boolean,
  services: Services,
  changeOf: (resource: R) => ConfigChange,
): Promise<AlteredRow[]> {
  const keyOf = ({ resourceType, resourceName }: Resource) => `${resourceType} ${resourceName}`
  const twice = duplicates(resources.map(keyOf))
  const unique = new Map(resources.map(resource => [keyOf(resource), resource]))
  const rows = [...unique].map(async ([key, resource]): Promise<AlteredRow> => {
    const { resourceType, resourceName } = resource
    const named = { resourceType, resourceName }
    if (twice.has(key))
      return {
        ...invalidRequest(`${shown(resourceName)} is named twice: each resource must appear once`),
        ...named,
      }
    try {
      if (kindOf(resource, services.nodeId) === 'topic') {
        await services.admin.alterTopicConfigs(resourceName, changeOf(resource), validateOnly)
      } else refuseBrokerChange(resource, services)
      return { errorCode: Errors.NONE, errorMessage: null, ...named }
    } catch (error) {
      return { ...rowError(error), ...named }
    }
  })
  return await Promise.all(rows)
}

/** Nothing to change is no mistake. */
function refuseBrokerChange({ configs }: ResourceToAlter, { config }: Services): void {
  const [first] = configs
  if (first === undefined) return
  const name = first.name.slice(0, 200)
  const keys = config.inForce.map(({ setting }) => setting.key)
  if (keys.includes(name)) {
    throw new KafkaError(
      Errors.INVALID_REQUEST,
      `${name} cannot be changed while the broker runs: set it in the configuration file, as ` +
        `${variableOf(name)} or with --set, and restart`,
    )
  }
  const near = nearest(name, keys)
  const hint = near === null ? '' : `, did you mean ${near}?`
  throw new KafkaError(Errors.INVALID_REQUEST, `Unknown broker setting: ${name}${hint}`)
}
