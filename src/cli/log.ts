/** `odradek log`: looks into segment files, no broker needed. */
import type { Command } from 'commander'
import { refuse } from './later.ts'
import { withExamples } from './program.ts'

export interface DumpFlags {
  readonly records: boolean
  readonly json: boolean
}

export function register(program: Command): void {
  const log = program.command('log').description('Look into segment files.').helpCommand(false)
  withExamples(log, ['odradek log dump data/clicks-0/00000000000000000000.log'])
  const dump = log
    .command('dump')
    .description(
      'Print the batches of a .log file, or the entries of an .index or .timeindex file.',
    )
    .argument('<file>')
    .option('--records', 'print the records, too', false)
    .option('--json', 'a JSON object a line', false)
    .action(async (file: string, flags: DumpFlags) => {
      const { dumpFile } = await import('./dump.ts')
      await dumpFile(file, flags)
    })
  withExamples(dump, [
    'odradek log dump data/clicks-0/00000000000000000000.log --records',
    'odradek log dump data/clicks-0/00000000000000000000.index',
  ])
  refuse(log, 'verify', 'until then: log dump checks every batch of a file')
  refuse(log, 'recover', 'a restart recovers a partition that is offline')
}
