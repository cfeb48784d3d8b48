/** Configs as DescribeConfigs shows them: value, source, synonyms, type and documentation of every key. Pure. */
import type { BrokerConfig, SettingInForce } from '../config/config.ts'
import { configType } from '../config/kinds.ts'
import { type TopicConfigRow, topicConfigTable } from '../config/topic-config-table.ts'
import { shownTopicConfig } from '../config/topic-configs.ts'

/** Kafka's ConfigSource (KIP-226). */
export const ConfigSource = {
  TOPIC: 1,
  STATIC_BROKER: 4,
  DEFAULT: 5,
} as const

export interface ConfigSynonym {
  readonly name: string
  readonly value: string
  readonly source: number
}

export interface ConfigEntry {
  readonly name: string
  readonly value: string
  readonly readOnly: boolean
  readonly source: number
  readonly sensitive: boolean
  /** The sources that hold a value, the one in force first. */
  readonly synonyms: readonly ConfigSynonym[]
  readonly type: number
  readonly documentation: string
}

/** All configs of a topic, or those of `names`; unknown names are left out, as in Kafka. */
export function describeTopic(
  configs: ReadonlyMap<string, string>,
  broker: BrokerConfig,
  names: readonly string[] | null,
): ConfigEntry[] {
  const wanted = names === null ? null : new Set(names)
  const inForce = new Map(broker.inForce.map(entry => [entry.setting.key, entry]))
  return topicConfigTable
    .filter(row => wanted === null || wanted.has(row.name))
    .map(row => topicEntry(row, configs.get(row.name), inForce.get(row.serverKey ?? '')))
}

function topicEntry(
  row: TopicConfigRow,
  own: string | undefined,
  broker: SettingInForce | undefined,
): ConfigEntry {
  const synonyms: ConfigSynonym[] = []
  if (own !== undefined) {
    const value = shownTopicConfig(row.name, own)
    synonyms.push({ name: row.name, value, source: ConfigSource.TOPIC })
  }
  synonyms.push(
    ...(broker === undefined
      ? [{ name: row.name, value: row.default, source: ConfigSource.DEFAULT }]
      : brokerSynonyms(broker)),
  )
  return {
    name: row.name,
    value: synonyms[0].value,
    readOnly: false,
    source: synonyms[0].source,
    sensitive: false,
    synonyms,
    type: configType(row.kind),
    documentation: row.doc,
  }
}

function brokerSynonyms({ setting, text, origin }: SettingInForce): ConfigSynonym[] {
  const name = setting.key
  const fallback = { name, value: String(setting.default), source: ConfigSource.DEFAULT }
  if (origin === null) return [fallback]
  return [{ name, value: text, source: ConfigSource.STATIC_BROKER }, fallback]
}

/** All broker settings, or those of `names`. Read-only: they change with a restart. */
export function describeBroker(
  broker: BrokerConfig,
  names: readonly string[] | null,
): ConfigEntry[] {
  const wanted = names === null ? null : new Set(names)
  return broker.inForce
    .filter(({ setting }) => wanted === null || wanted.has(setting.key))
    .map(entry => {
      const synonyms = brokerSynonyms(entry)
      return {
        name: entry.setting.key,
        value: entry.text,
        readOnly: true,
        source: synonyms[0].source,
        sensitive: false,
        synonyms,
        type: configType(entry.setting.kind),
        documentation: entry.setting.doc,
      }
    })
}
