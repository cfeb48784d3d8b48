/** `odradek groups`: list, describe, reset, delete. */
import { type Command, InvalidArgumentError } from 'commander'
import type { Admin } from '../client/admin.ts'
import type { GroupListing } from '../client/admin-groups.ts'
import { Errors, errorName } from '../protocol/errors.ts'
import { print, printJson, printTable } from './output.ts'
import { type ClientFlags, gathered, withClientOptions, withExamples } from './program.ts'
import { withAdmin } from './with-admin.ts'

export interface ListFlags extends ClientFlags {
  readonly state?: readonly string[]
}

export interface DescribeFlags extends ClientFlags {
  readonly timeline: boolean
}

export interface ResetFlags extends ClientFlags {
  readonly topic?: readonly string[]
  readonly allTopics: boolean
  readonly to?: string
  readonly shiftBy?: number
  readonly dryRun: boolean
}

const states = ['Empty', 'PreparingRebalance', 'CompletingRebalance', 'Stable', 'Dead']

export function register(program: Command): void {
  const groups = program
    .command('groups')
    .description('Consumer groups: list, describe, reset, delete.')
    .helpCommand(false)
  withExamples(groups, [
    'odradek groups list',
    'odradek groups describe orders --timeline',
    'odradek groups reset orders --topic clicks --to earliest --dry-run',
  ])
  registerList(groups)
  registerDescribe(groups)
  registerReset(groups)
  registerDelete(groups)
}

function registerList(groups: Command): void {
  const list = groups
    .command('list')
    .description('Print all groups.')
    .option(
      '--state <states>',
      `only these, separated by commas: ${states.join(', ')}`,
      parseStates,
    )
  withClientOptions(list).action((flags: ListFlags) => withAdmin(flags, printGroups))
  withExamples(list, ['odradek groups list', 'odradek groups list --state Stable,Empty --json'])
}

function registerDescribe(groups: Command): void {
  const describe = groups
    .command('describe')
    .description('Print who is in a group, who reads what, and how far behind.')
    .argument('<group>')
    .option(
      '--timeline',
      'also what happened lately: who joined, left, was late, expired or was fenced, when, and which setting decided',
      false,
    )
  withClientOptions(describe).action(async (group: string, flags: DescribeFlags) => {
    const { describeGroup } = await import('./groups-describe.ts')
    await withAdmin(flags, admin => describeGroup(admin, group, flags))
  })
  withExamples(describe, [
    'odradek groups describe orders',
    'odradek groups describe orders --timeline --admin http://127.0.0.1:8082',
  ])
}

function registerReset(groups: Command): void {
  const reset = groups
    .command('reset')
    .description('Set where a group goes on reading. It must have no members.')
    .argument('<group>')
    .option('--topic <topic[:p,p]>', 'a topic, or some partitions of it; may be repeated', gathered)
    .option('--all-topics', 'every partition that the group has committed', false)
    .option('--to <where>', 'earliest, latest, an offset or an ISO time')
    .option('--shift-by <n>', 'so many records ahead, or back if negative', parseShift)
    .option('--dry-run', 'only print what would be done', false)
  withClientOptions(reset).action(async (group: string, flags: ResetFlags) => {
    const { checkResetFlags, resetGroup } = await import('./groups-reset.ts')
    const wanted = checkResetFlags(flags)
    await withAdmin(flags, admin => resetGroup(admin, group, wanted, flags))
  })
  withExamples(reset, [
    'odradek groups reset orders --topic clicks --to earliest --dry-run',
    'odradek groups reset orders --topic clicks:0,3 --to 2026-01-31T12:00:00Z',
    'odradek groups reset orders --all-topics --shift-by -100',
  ])
}

function registerDelete(groups: Command): void {
  const remove = groups
    .command('delete')
    .description('Delete groups without members, with what they have committed.')
    .argument('<group...>')
  withClientOptions(remove).action((names: string[], flags: ClientFlags) =>
    withAdmin(flags, admin => deleteGroups(admin, names, flags)),
  )
  withExamples(remove, ['odradek groups delete orders'])
}

async function printGroups(admin: Admin, flags: ListFlags): Promise<void> {
  const groups = await admin.groups.list(flags.state)
  if (flags.json) return printJson(groups)
  await printTable<GroupListing>(groups, [
    ['group', group => group.groupId],
    ['state', group => group.state || '?'],
    ['protocol', group => group.protocolType || '-'],
  ])
}

async function deleteGroups(
  admin: Admin,
  names: readonly string[],
  flags: ClientFlags,
): Promise<void> {
  const failures: string[] = []
  for (const [name, code] of await admin.groups.delete(names)) {
    if (code !== Errors.NONE) failures.push(await whyNotDeleted(admin, name, code))
    else if (flags.json) printJson({ deleted: name })
    else print(`deleted ${name}`)
  }
  if (failures.length > 0) throw new Error(failures.join('; '))
}

async function whyNotDeleted(admin: Admin, name: string, code: number): Promise<string> {
  if (code === Errors.GROUP_ID_NOT_FOUND) return `group ${name} does not exist`
  if (code !== Errors.NON_EMPTY_GROUP) return `group ${name} was not deleted: ${errorName(code)}`
  const { busy } = await import('./groups-describe.ts')
  const group = await admin.groups.find(name)
  if (group !== null && group.members.length > 0) return `${busy(group)}, then delete it`
  return `group ${name} is about to rebalance: stop its members, then delete it`
}

function parseStates(text: string): string[] {
  return text.split(',').map(name => {
    const wanted = name.trim().toLowerCase()
    const state = states.find(known => known.toLowerCase() === wanted)
    if (state !== undefined) return state
    throw new InvalidArgumentError(`There is no state ${name}; states are ${states.join(', ')}.`)
  })
}

function parseShift(text: string): number {
  if (/^[+-]?\d{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number, negative to go back.')
}
