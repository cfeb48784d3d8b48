/** `odradek topics`: create, list, describe, alter, delete. */
import type { Command } from 'commander'
import type { Admin, TopicConfig, TopicDescription, TopicSummary } from '../client/admin.ts'
import { UsageError } from './failure.ts'
import { count, print, printJson, printTable } from './output.ts'
import {
  type ClientFlags,
  gathered,
  pairs,
  wholeNumber,
  withClientOptions,
  withExamples,
} from './program.ts'
import { withAdmin } from './with-admin.ts'

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
