/**
 * What the configs of a topic become by a change, checked completely before anything is written, with Kafka's error
 * codes (ConfigurationControlManager of Kafka 4.1). Pure.
 */
import {
  checkTogether,
  checkTopicConfigs,
  parseTopicConfig,
  type TopicDefaults,
  topicConfigRow,
  unknownTopicConfig,
} from '../config/topic-configs.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'

/** One step of an incremental change. Steps of one change name each config once. */
export interface ConfigStep {
  /** `append` and `subtract`: items of a list, to or from what is in force. */
  readonly operation: 'set' | 'delete' | 'append' | 'subtract'
  readonly name: string
  /** Not looked at for `delete`. */
  readonly text: string | null
}

/** Either steps from what the topic has, or all that it has from now on. */
export type ConfigChange =
  | { readonly steps: readonly ConfigStep[] }
  | { readonly all: readonly (readonly [name: string, text: string | null])[] }

/**
 * The topic's own configs after the change. Throws INVALID_REQUEST for a change that contradicts itself (a config
 * twice, null as a value), INVALID_CONFIG for a name or value that is none.
 */
export function planConfigs(
  present: ReadonlyMap<string, string>,
  change: ConfigChange,
  defaults: TopicDefaults,
): Map<string, string> {
  const given =
    'steps' in change ? change.steps.map(({ name }) => name) : change.all.map(([n]) => n)
  refuseTwice(given)
  const planned = 'steps' in change ? new Map(present) : allOf(change.all)
  if ('steps' in change) for (const step of change.steps) take(step, planned, defaults)
  checkTogether(planned, defaults)
  return planned
}

/** Whether two sets of configs are the same, so that there is nothing to write. */
export function isSame(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([name, text]) => b.get(name) === text)
}

function refuseTwice(names: readonly string[]): void {
  const seen = new Set<string>()
  for (const name of names) {
    if (seen.has(name)) {
      throw new KafkaError(
        Errors.INVALID_REQUEST,
        `Topic config ${name.slice(0, 200)} is given twice in one change: give it once`,
      )
    }
    seen.add(name)
  }
}

function allOf(pairs: readonly (readonly [name: string, text: string | null])[]) {
  for (const [name, text] of pairs) if (text === null) throw nullValue(name)
  return checkTopicConfigs(pairs)
}

function take(step: ConfigStep, planned: Map<string, string>, defaults: TopicDefaults): void {
  const { operation, name, text } = step
  if (operation === 'delete') {
    // One that an other version has stored can always be taken away.
    if (!planned.delete(name) && topicConfigRow(name) === undefined) throw unknownTopicConfig(name)
    return
  }
  if (text === null) throw nullValue(name)
  if (operation === 'set') {
    parseTopicConfig(name, text)
    planned.set(name, text)
    return
  }
  planned.set(name, changedList(step, text, planned.get(name) ?? defaults.get(name) ?? ''))
}

/** The list in force with the items of `text` added or taken away. */
function changedList({ operation, name }: ConfigStep, text: string, inForce: string): string {
  const row = topicConfigRow(name)
  if (row === undefined) throw unknownTopicConfig(name)
  if (row.kind.type !== 'list') {
    throw new KafkaError(
      Errors.INVALID_CONFIG,
      `Cannot ${operation} to topic config ${name}: it is not a list, set it instead`,
    )
  }
  const items = itemsOf(inForce)
  const named = itemsOf(text)
  const changed =
    operation === 'append'
      ? [...new Set([...items, ...named])]
      : items.filter(item => !named.includes(item))
  const joined = changed.join(',')
  parseTopicConfig(name, joined)
  return joined
}

const itemsOf = (text: string) =>
  text
    .split(',')
    .map(item => item.trim())
    .filter(item => item !== '')

const nullValue = (name: string) =>
  new KafkaError(
    Errors.INVALID_REQUEST,
    `Null is no value for topic config ${name.slice(0, 200)}: delete it instead`,
  )
