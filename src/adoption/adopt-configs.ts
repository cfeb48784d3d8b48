/**
 * The file of `odradek start --adopt FILE`: what the topics of a Kafka directory are configured to, because Kafka keeps
 * that outside of it. YAML; a topic without configs has the broker's defaults.
 *
 *   clicks:
 *     cleanup.policy: compact
 *     retention.ms: 86400000
 *   orders: {}
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { ConfigError } from '../config/sources.ts'

/** Configs in text form by topic. */
export type AdoptConfigs = ReadonlyMap<string, ReadonlyMap<string, string>>

const FILE_BYTES_MAX = 16 * 1024 * 1024

/** Throws ConfigError: one line that names the culprit. */
export function readAdoptConfigs(path: string): AdoptConfigs {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`--adopt ${path}: ${(error as Error).message}`)
  }
  return parseAdoptConfigs(text, path)
}

/** `path` is only for messages. */
export function parseAdoptConfigs(text: string, path: string): AdoptConfigs {
  if (text.length > FILE_BYTES_MAX) throw new ConfigError(`--adopt ${path}: larger than 16 MiB`)
  const topics = new Map<string, ReadonlyMap<string, string>>()
  for (const [topic, configs] of entries(parseYaml(text, path), `--adopt ${path}`)) {
    const texts = new Map<string, string>()
    for (const [name, value] of entries(configs, `--adopt ${path}: topic ${topic}`)) {
      const plain = textOf(value)
      if (plain === null)
        throw new ConfigError(`--adopt ${path}: topic ${topic}: ${name} must be a single value`)
      texts.set(name, plain)
    }
    topics.set(topic, texts)
  }
  return topics
}

/** Lists are Kafka's comma lists; null for what is no value. */
function textOf(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint')
    return String(value)
  if (!Array.isArray(value)) return null
  const texts = value.map(textOf)
  return texts.includes(null) ? null : texts.join(',')
}

function parseYaml(text: string, path: string): unknown {
  // Loaded only for a file, as for the broker's own configuration.
  const { parse } = createRequire(import.meta.url)('yaml') as typeof import('yaml')
  try {
    // Kafka's word for never is a whole number that no double holds.
    return parse(text, { intAsBigInt: true })
  } catch (error) {
    throw new ConfigError(`--adopt ${path}: ${(error as Error).message.split('\n')[0]}`)
  }
}

function entries(value: unknown, where: string): [string, unknown][] {
  if (value === null || value === undefined) return []
  if (typeof value !== 'object' || Array.isArray(value))
    throw new ConfigError(`${where}: must be names with values, as "clicks: { segment.ms: 1000 }"`)
  return Object.entries(value)
}
