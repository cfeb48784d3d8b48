/** `odradek topics`: create, list, describe, alter, delete. */
import type { Command } from 'commander'
import type { Admin, TopicConfig, TopicDescription, TopicSummary } from '../client/admin.ts'
import { UsageError } from './failure.ts'
import {
  type ClientFlags,
  gathered,
  pairs,
  wholeNumber,
  withClientOptions,
  withExamples,
} from './program.ts'

interface CreateFlags extends ClientFlags {
  readonly partitions?: number
  readonly replicationFactor?: number
  readonly config?: ReadonlyMap<string, string>
}

interface AlterFlags extends ClientFlags {
  readonly partitions?: number
  readonly config?: ReadonlyMap<string, string>
  readonly deleteConfig?: readonly string[]
}

export function register(program: Command): void {
  const topics = program
    .command('topics')
    .description('Create, list, describe, alter, delete.')
    .helpCommand(false)
  withExamples(topics, ['odradek topics create clicks --partitions 8', 'odradek topics list'])
  registerCreate(topics)
  registerAlter(topics)
  const list = topics.command('list').description('Print all topics.')
  withClientOptions(list).action((flags: ClientFlags) => withAdmin(flags, printTopics))
  withExamples(list, ['odradek topics list --json'])
  const describe = topics
    .command('describe')
    .description('Print partitions, offsets and the configs that are set.')
    .argument('<topic>')
  withClientOptions(describe).action((name: string, flags: ClientFlags) =>
    withAdmin(flags, async admin => {
      const topic = await admin.describeTopic(name)
      if (flags.json) printJson(withoutDefaults(topic))
      else await printDescription(topic)
    }),
  )
  withExamples(describe, ['odradek topics describe clicks'])
  const remove = topics
    .command('delete')
    .description('Delete topics with all their records.')
    .argument('<topic...>')
  withClientOptions(remove).action((names: string[], flags: ClientFlags) =>
    withAdmin(flags, async admin => {
      for (const name of names) {
        await admin.deleteTopic(name)
        if (flags.json) printJson({ deleted: name })
        else print(`deleted ${name}`)
      }
    }),
  )
  withExamples(remove, ['odradek topics delete clicks'])
}

function registerCreate(topics: Command): void {
  const create = topics
    .command('create')
    .description('Create a topic.')
    .argument('<topic>')
    .option('--partitions <n>', "number of partitions (default: the broker's)", wholeNumber(1))
    .option('--replication-factor <n>', 'copies; one broker keeps one', wholeNumber(1))
    .option('--config <key=value>', 'a topic config, may be given several times', pairs)
  withClientOptions(create).action((name: string, flags: CreateFlags) =>
    withAdmin(flags, async admin => {
      const { partitions, replicationFactor, config: configs } = flags
      const topic = await admin.createTopic({ name, partitions, replicationFactor, configs })
      if (flags.json) printJson(topic)
      else print(`created ${topic.name} with ${count(topic.partitions, 'partition')}`)
    }),
  )
  withExamples(create, [
    'odradek topics create clicks --partitions 8',
    'odradek topics create audit --config retention.ms=-1 --config flush.policy=group-commit',
  ])
}

function registerAlter(topics: Command): void {
  const alter = topics
    .command('alter')
    .description('Change the configs of a topic, add partitions to it.')
    .argument('<topic>')
    .option('--config <key=value>', 'set a topic config, may be given several times', pairs)
    .option('--delete-config <key>', 'back to its default, may be given several times', gathered)
    .option('--partitions <n>', 'the new number of partitions', wholeNumber(1))
  withClientOptions(alter).action((name: string, flags: AlterFlags) => {
    checkAlteration(flags)
    return withAdmin(flags, admin => alterTopic(admin, name, flags))
  })
  withExamples(alter, [
    'odradek topics alter clicks --config retention.ms=3600000 --delete-config segment.bytes',
    'odradek topics alter clicks --partitions 16',
  ])
}

function checkAlteration({ partitions, config, deleteConfig = [] }: AlterFlags): void {
  if (partitions === undefined && config === undefined && deleteConfig.length === 0) {
    throw new UsageError('nothing to change: give --config, --delete-config or --partitions')
  }
  const both = deleteConfig.find(key => config?.has(key))
  if (both !== undefined) {
    throw new UsageError(`${both} is given to both --config and --delete-config: use one of them`)
  }
}

/** Both halves are checked before the first is done. */
async function alterTopic(admin: Admin, name: string, flags: AlterFlags): Promise<void> {
  const { partitions, config: set = new Map<string, string>(), deleteConfig = [] } = flags
  const remove = new Set(deleteConfig)
  const hasConfigs = set.size + remove.size > 0
  if (partitions !== undefined && hasConfigs) {
    await admin.createPartitions(name, partitions, { validateOnly: true })
  }
  if (hasConfigs) await admin.alterTopicConfigs(name, { set, remove })
  if (partitions !== undefined) await admin.createPartitions(name, partitions)
  if (flags.json) {
    const configs = configsSet(await admin.topicConfigs(name))
    printJson(partitions === undefined ? { name, configs } : { name, partitions, configs })
    return
  }
  for (const [key, value] of set) print(`${name}: ${key}=${value}`)
  for (const key of remove) print(`${name}: ${key} is back to its default`)
  if (partitions !== undefined) print(`${name} has ${count(partitions, 'partition')} now`)
}

async function printTopics(admin: Admin, flags: ClientFlags): Promise<void> {
  const topics = await admin.listTopics()
  if (flags.json) return printJson(topics)
  await printTable<TopicSummary>(topics, [
    ['topic', topic => topic.name],
    ['partitions', topic => topic.partitions],
    ['id', topic => topic.id],
  ])
}

async function printDescription({ name, id, partitions, configs }: TopicDescription) {
  print(`${name}  id ${id}`)
  for (const config of configs) if (!config.isDefault) print(`${config.name}=${config.value}`)
  await printTable(partitions, [
    ['partition', row => row.partition],
    ['leader', row => (row.leader < 0 ? 'none' : row.leader)],
    ['start', row => row.startOffset ?? '?'],
    ['end', row => row.endOffset ?? '?'],
  ])
}

function withoutDefaults({ configs, ...topic }: TopicDescription): unknown {
  return { ...topic, configs: configsSet(configs) }
}

function configsSet(configs: readonly TopicConfig[]): Record<string, string | null> {
  const set = configs.filter(({ isDefault }) => !isDefault)
  return Object.fromEntries(set.map(({ name, value }) => [name, value]))
}

async function withAdmin<Flags extends ClientFlags>(
  flags: Flags,
  work: (admin: Admin, flags: Flags) => Promise<void>,
): Promise<void> {
  const { Admin } = await import('../client/admin.ts')
  const { reachable } = await import('./reachable.ts')
  const admin = new Admin({ bootstrap: flags.bootstrap, clientId: 'odradek-topics' })
  try {
    await reachable(flags.bootstrap, () => admin.connect())
    await work(admin, flags)
  } finally {
    await admin.close()
  }
}

/** Columns as wide as needed, without lines; the heading in bold on a terminal. */
async function printTable<Row>(
  rows: readonly Row[],
  columns: readonly (readonly [heading: string, cell: (row: Row) => string | number])[],
): Promise<void> {
  const [{ default: Table }, { default: picocolors }] = await Promise.all([
    import('cli-table3'),
    import('picocolors'),
  ])
  // picocolors takes CI for a terminal, but there, too, a pipe wants plain text.
  const isColored = picocolors.isColorSupported && process.stdout.isTTY
  const colors = picocolors.createColors(isColored)
  const edges = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left']
  const lines = [
    ...edges,
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
  ]
  const table = new Table({
    head: columns.map(([heading]) => colors.bold(heading.toUpperCase())),
    chars: { ...Object.fromEntries(lines.map(line => [line, ''])), middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  })
  for (const row of rows) table.push(columns.map(([, cell]) => String(cell(row))))
  print(table.toString().replace(/ +$/gm, ''))
}

function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function printJson(value: unknown): void {
  print(JSON.stringify(value))
}
