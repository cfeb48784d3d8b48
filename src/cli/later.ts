/**
 * Commands whose names are promised and whose time has not come: refused with the reason instead of `unknown command`.
 */
import type { Command } from 'commander'
import { UsageError } from './failure.ts'

const reasons: ReadonlyMap<string, string> = new Map([
  ['workers', 'partitions are mapped to workers round-robin, moving them comes in a later version'],
])

export function register(program: Command): void {
  for (const [name, why] of reasons) refuse(program, name, why)
}

/** Adds a hidden command that takes anything and always fails. */
export function refuse(parent: Command, name: string, why: string): void {
  parent
    .command(name, { hidden: true })
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption(false)
    .action(() => {
      const path = parent.parent === null ? name : `${parent.name()} ${name}`
      throw new UsageError(`${path} is not there yet: ${why}`)
    })
}
