/**
 * Writes config/odradek.yaml, config/odradek.schema.json and docs/configuration.md from the settings table and the zod
 * schema: `node config/generate.ts`. A test fails when one of them is out of date.
 */
import { writeFileSync } from 'node:fs'
import { z } from 'zod'
import {
  expectation,
  formatValue,
  type Kind,
  parseValue,
  type Scalar,
} from '../src/config/kinds.ts'
import { configSchema } from '../src/config/schema.ts'
import { type Section, type Setting, settings } from '../src/config/settings.ts'
import { variableOf } from '../src/config/sources.ts'
import { topicConfigTable } from '../src/config/topic-config-table.ts'

const SECTIONS: readonly (readonly [Section, string, string])[] = [
  ['listeners', 'Listeners', 'Where the broker listens and what clients dial.'],
  ['storage', 'Storage', 'Where records are kept, and who this broker is.'],
  ['threads', 'Threads and shared memory', 'How much of the machine the broker takes.'],
  ['limits', 'Limits', 'What one client, and all together, can make the broker hold.'],
  [
    'topics',
    'Topics and their defaults',
    'Broker-wide defaults; a topic overrides them with its own configs.',
  ],
  ['groups', 'Consumer groups', 'Members, and the offsets that groups commit.'],
  ['operation', 'Operation', 'How the broker talks to its operator.'],
]

const textOf = (kind: Kind, value: Scalar): string => {
  const parsed = parseValue(kind, value)
  if (!parsed.ok) throw new Error(`default ${String(value)} does not fit its own kind`)
  return formatValue(kind, parsed.value)
}

const inSection = (section: Section) => settings.filter(setting => setting.section === section)

export function renderYaml(): string {
  const lines = [
    '# yaml-language-server: $schema=./odradek.schema.json',
    '#',
    '# Every setting of odradek with its default. `odradek start --config FILE` reads such a file; it needs',
    '# only the lines that differ. Variables (ODRADEK_LOG_DIR), --set KEY=VALUE and flags win over it.',
    '# docs/configuration.md says more. Made by `node config/generate.ts`, checked by a test.',
  ]
  for (const [section, title, about] of SECTIONS) {
    lines.push('', `# ${title}. ${about}`)
    for (const setting of inSection(section)) lines.push('', ...yamlLines(setting))
  }
  return `${lines.join('\n')}\n`
}

function yamlLines({ key, kind, default: value, doc, effect }: Setting): string[] {
  const text = textOf(kind, value)
  const shown = kind.type === 'endpoint' || text === '' ? JSON.stringify(text) : text
  const kept = effect === 'kept' ? ' Accepted, without effect so far.' : ''
  return [...wrap(`${doc}${kept} (${expectation(kind)})`, 98), `${key}: ${shown}`]
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  let line = '#'
  for (const word of text.split(' ')) {
    if (line.length + 1 + word.length > width) {
      lines.push(line)
      line = '#'
    }
    line += ` ${word}`
  }
  return [...lines, line]
}

export function renderJsonSchema(): string {
  const schema = z.toJSONSchema(configSchema(), { io: 'input' })
  const head = { $id: 'odradek.schema.json', title: 'odradek configuration' }
  return `${JSON.stringify({ ...head, ...schema }, null, 2).replace(WORDS, joinWords)}\n`
}

/** A list of strings over several lines; one line is what the formatter wants. */
const WORDS = /\[\n\s+("[^\n]*",?\n\s+)+\]/g
const joinWords = (words: string) =>
  words.replace(/\n\s+/g, ' ').replace(/^\[ | \]$/g, side => side.trim())

export function renderMarkdown(): string {
  const sections = SECTIONS.flatMap(([section, title, about]) => [
    `## ${title}`,
    '',
    about,
    '',
    '| key | default | flag | Kafka | meaning |',
    '| --- | --- | --- | --- | --- |',
    ...inSection(section).map(settingRow),
    '',
  ])
  return [...INTRODUCTION, ...sections, ...TOPICS, ...topicConfigTable.map(topicRow), ''].join('\n')
}

const INTRODUCTION = [
  '# Configuration',
  '',
  '<!-- Made by `node config/generate.ts` from src/config/settings.ts; a test checks that it is up to date. -->',
  '',
  'odradek runs without any configuration. What is set comes from, the later winning:',
  '',
  '1. the defaults below;',
  '2. a YAML file: `odradek start --config FILE`, one `key: value` a line ([odradek.yaml](../config/odradek.yaml)',
  '   holds every key; [odradek.schema.json](../config/odradek.schema.json) helps editors);',
  `3. the environment: \`ODRADEK_\`, the key in capitals, \`_\` for each dot: \`${variableOf('log.segment.bytes')}\`;`,
  '   an empty variable counts as not set;',
  '4. `--set KEY=VALUE`, as often as needed;',
  '5. the flags named below.',
  '',
  'An unknown key, an unknown `ODRADEK_` variable or a value out of range stops the start with one line that names it.',
  'Keys that Kafka has keep Kafka’s names: the column *Kafka* says "same" where name and default are Kafka’s, shows',
  'Kafka’s default where odradek has another, and "own" where the key is odradek’s. *(kept)*: checked, stored and shown',
  'to clients, without effect so far.',
  '',
]

const TOPICS = [
  '## Topic configs',
  '',
  'Set per topic at creation (`odradek topics create --config NAME=VALUE`, CreateTopics), and changed while it is in use',
  '(`odradek topics alter TOPIC --config NAME=VALUE --delete-config NAME`, IncrementalAlterConfigs, AlterConfigs): durable',
  'when the change is answered, in force from the next append, no restart. *Broker key* is the setting above that gives the',
  'default. All of Kafka 4.1’s are known; *(kept)* as above.',
  '',
  '| config | default | broker key | meaning |',
  '| --- | --- | --- | --- |',
]

const code = (text: string) => (text === '' ? '(empty)' : `\`${text}\``)
const cell = (text: string) => text.replaceAll('|', '\\|')

function settingRow({
  key,
  kind,
  default: value,
  flag,
  kafkaDefault,
  doc,
  effect,
}: Setting): string {
  const kafka =
    kafkaDefault === undefined ? 'same' : kafkaDefault === null ? 'own' : code(kafkaDefault)
  const meaning = `${doc}${effect === 'kept' ? ' *(kept)*' : ''} Value: ${expectation(kind)}.`
  const cells = [code(key), code(textOf(kind, value)), flag === undefined ? '' : code(flag), kafka]
  return `| ${[...cells, cell(meaning)].join(' | ')} |`
}

function topicRow(row: (typeof topicConfigTable)[number]): string {
  const kept = row.effect === 'kept' ? ' *(kept)*' : ''
  const meaning = `${row.doc}${kept} Value: ${expectation(row.kind)}.`
  const key = row.serverKey === null ? '' : code(row.serverKey)
  return `| ${code(row.name)} | ${code(row.default)} | ${key} | ${cell(meaning)} |`
}

export const documents: ReadonlyMap<string, () => string> = new Map([
  ['config/odradek.yaml', renderYaml],
  ['config/odradek.schema.json', renderJsonSchema],
  ['docs/configuration.md', renderMarkdown],
])

if (process.argv[1] === import.meta.filename)
  for (const [path, render] of documents)
    writeFileSync(new URL(`../${path}`, import.meta.url), render())
