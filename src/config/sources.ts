/**
 * Where raw setting values come from, later ones winning: YAML file, ODRADEK_… variables, --set KEY=VALUE, flags.
 * Unknown keys are refused here; values are judged by config.ts. The YAML parser is loaded only for a file.
 */
import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { settings } from './settings.ts'
import { nearest } from './suggest.ts'

/** A message for the operator: names the culprit and the cure in one line. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** The flags of `odradek start`, by their camel-case names. Undefined = not given. */
export interface ConfigFlags {
  /** HOST:PORT */
  readonly kafka?: string
  readonly http?: string
  readonly advertise?: string
  readonly dataDir?: string
  readonly workers?: string | number
  readonly brokerId?: string | number
  readonly logLevel?: string
  readonly insecure?: boolean
}

export interface ConfigSources {
  /** Path of a YAML file. */
  readonly file?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** `KEY=VALUE` texts in order, or keys with values. */
  readonly set?: readonly string[] | Readonly<Record<string, string | number | boolean>>
  readonly flags?: ConfigFlags
}

export interface RawValue {
  readonly value: unknown
  readonly origin: string
}

const FILE_BYTES_MAX = 1024 * 1024
const keys: ReadonlySet<string> = new Set(settings.map(setting => setting.key))
const keyOfFlag: ReadonlyMap<string, string> = new Map(
  settings.flatMap(({ flag, key }) => (flag === undefined ? [] : [[flag, key]])),
)
const keyOfVariable: ReadonlyMap<string, string> = new Map(
  settings.map(({ key }) => [variableOf(key), key]),
)

/** `log.segment.bytes` → `ODRADEK_LOG_SEGMENT_BYTES` */
export function variableOf(key: string): string {
  return `ODRADEK_${key.replaceAll('.', '_').toUpperCase()}`
}

/** The values given by any source, by key. Throws ConfigError on unknown keys and unreadable files. */
export function rawValues(sources: ConfigSources): Map<string, RawValue> {
  const raw = new Map<string, RawValue>()
  if (sources.file !== undefined) addFile(raw, sources.file)
  addEnvironment(raw, sources.env ?? {})
  addSet(raw, sources.set ?? [])
  for (const [name, value] of Object.entries(sources.flags ?? {})) {
    const flag = `--${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`
    const key = keyOfFlag.get(flag)
    if (key === undefined) throw new ConfigError(`${flag}: there is no such flag`)
    if (value !== undefined) raw.set(key, { value, origin: flag })
  }
  return raw
}

function addFile(raw: Map<string, RawValue>, file: string): void {
  for (const [key, value] of Object.entries(readYaml(file))) {
    requireKnown(key, file)
    raw.set(key, { value, origin: file })
  }
}

function readYaml(file: string): object {
  let text: string
  try {
    if (statSync(file).size > FILE_BYTES_MAX)
      throw new ConfigError(`${file}: larger than 1 MiB, this is no configuration file`)
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    throw new ConfigError(`${file}: cannot be read: ${(error as Error).message}`)
  }
  const yaml = createRequire(import.meta.url)('yaml') as typeof import('yaml')
  let content: unknown
  try {
    content = yaml.parse(text, { maxAliasCount: 0 })
  } catch (error) {
    throw new ConfigError(`${file}: not YAML: ${(error as Error).message.split('\n')[0]}`)
  }
  if (content === null || content === undefined) return {}
  if (typeof content === 'object' && !Array.isArray(content)) return content
  throw new ConfigError(`${file}: must hold lines of the form "key: value"`)
}

// Kubernetes and Docker links set such variables for a service named odradek; they are not meant for us.
const FOREIGN_VARIABLE = /^ODRADEK_(SERVICE_|PORT(_|$)|ENV_|NAME$)/

function addEnvironment(raw: Map<string, RawValue>, env: NonNullable<ConfigSources['env']>): void {
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith('ODRADEK_') || FOREIGN_VARIABLE.test(name)) continue
    // An empty variable is how compose files say "not set".
    if (value === undefined || value === '') continue
    const key = keyOfVariable.get(name)
    if (key === undefined) {
      const near = nearest(name, keyOfVariable.keys())
      const hint = near === null ? 'docs/configuration.md lists them' : `did you mean ${near}?`
      throw new ConfigError(`${name}: there is no such setting, ${hint}`)
    }
    raw.set(key, { value, origin: name })
  }
}

function addSet(raw: Map<string, RawValue>, set: NonNullable<ConfigSources['set']>): void {
  for (const [key, value] of Array.isArray(set) ? set.map(splitPair) : Object.entries(set)) {
    requireKnown(key, '--set')
    raw.set(key, { value, origin: '--set' })
  }
}

function splitPair(pair: string): [string, string] {
  const at = pair.indexOf('=')
  if (at < 1) throw new ConfigError(`--set ${pair.slice(0, 200)}: must be KEY=VALUE`)
  return [pair.slice(0, at).trim(), pair.slice(at + 1)]
}

function requireKnown(key: string, origin: string): void {
  if (keys.has(key)) return
  const near = nearest(key, keys)
  const hint = near === null ? 'docs/configuration.md lists them' : `did you mean ${near}?`
  throw new ConfigError(`${key.slice(0, 200)} (from ${origin}): there is no such setting, ${hint}`)
}
