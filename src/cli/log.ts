/** `odradek log`: looks into a data directory's files, has partitions brought back. */
import type { Command } from 'commander'
import { checkedUrl, defaultAdmin, withExamples } from './program.ts'
import type { RecoverFlags } from './recover.ts'

export interface DumpFlags {
  readonly records: boolean
  readonly json: boolean
}

export function register(program: Command): void {
  const log = program
    .command('log')
    .description('Look into the files of a data directory, bring partitions back.')
    .helpCommand(false)
  withExamples(log, ['odradek log verify data', 'odradek log recover clicks-0'])
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
  const verify = log
    .command('verify')
    .description(
      'Check every byte of a data directory, or of one log in it, that no broker is using.',
    )
    .argument('<dir>')
    .option('--records', 'read the records of every batch, too', false)
    .option('--json', 'a JSON object a line', false)
    .action(async (directory: string, flags: DumpFlags) => {
      const { verify } = await import('./verify.ts')
      await verify(directory, flags)
    })
  withExamples(verify, ['odradek log verify data', 'odradek log verify data/clicks-0 --records'])
  registerRecover(log)
}

function registerRecover(log: Command): void {
  const recover = log
    .command('recover')
    .description('Bring a partition back that a running broker has taken offline.')
    .argument('<topic-partition>')
    .option('--admin <url>', "the broker's HTTP address", checkedUrl, defaultAdmin)
    .option('--json', 'print JSON', false)
    .action(async (name: string, flags: RecoverFlags) => {
      const { recoverPartition } = await import('./recover.ts')
      await recoverPartition(name, flags)
    })
  withExamples(recover, ['odradek log recover clicks-0'])
}
