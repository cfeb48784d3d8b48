/** `odradek topics`: create, list, describe, alter, delete. */
import type { Command } from 'commander'
import type { Admin, TopicDescription, TopicSummary } from '../client/admin.ts'
import {
  type ClientFlags,
  later,
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
    .description('Add partitions to a topic.')
    .argument('<topic>')
    .requiredOption('--partitions <n>', 'the new number of partitions', wholeNumber(1))
    .addOption(later('--config <key=value>', 'give configs when the topic is created'))
  withClientOptions(alter).action(
    (name: string, flags: ClientFlags & { readonly partitions: number }) =>
      withAdmin(flags, async admin => {
        await admin.createPartitions(name, flags.partitions)
        if (flags.json) printJson({ name, partitions: flags.partitions })
        else print(`${name} has ${count(flags.partitions, 'partition')} now`)
      }),
  )
  withExamples(alter, ['odradek topics alter clicks --partitions 16'])
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
  const set = configs.filter(({ isDefault }) => !isDefault)
  return { ...topic, configs: Object.fromEntries(set.map(({ name, value }) => [name, value])) }
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
  const [{ default: Table }, { default: colors }] = await Promise.all([
    import('cli-table3'),
    import('picocolors'),
  ])
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
