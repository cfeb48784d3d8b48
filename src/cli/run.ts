/**
 * The command line. Only the module of the command at hand is loaded, and that loads what it needs when it runs:
 * `odradek start` pays for neither the client nor the others' options.
 *
 * Exit codes: 0 done, 1 it failed, 2 it was asked for wrongly. A failure is one line on stderr.
 */
import type { Command } from 'commander'
import { exitCodeOf, messageOf } from './failure.ts'

interface CommandModule {
  register(program: Command): void
}

const commands: ReadonlyMap<string, () => Promise<CommandModule>> = new Map([
  ['start', () => import('./start.ts')],
  ['topics', () => import('./topics.ts')],
  ['produce', () => import('./produce.ts')],
  ['consume', () => import('./consume.ts')],
  ['groups', () => import('./groups.ts')],
  ['log', () => import('./log.ts')],
  ['bench', () => import('./bench.ts')],
  ['status', () => import('./status.ts')],
])

/** Runs one command line (without node and script). @returns the exit code */
export async function runCli(args: readonly string[]): Promise<number> {
  const { makeProgram } = await import('./program.ts')
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    // Whoever read our output has gone (`| head`): nothing is left to do. A broker does not depend on its readers, and
    // a command that listens itself has something left.
    const isHandled = process.stdout.listenerCount('error') > 1
    if (args[0] !== 'start' && !isHandled) process.exit(0)
  })
  const program = makeProgram()
  try {
    const wanted = commands.get(args[0])
    const modules = wanted === undefined ? [...commands.values()] : [wanted]
    for (const load of modules) (await load()).register(program)
    if (wanted === undefined) (await import('./later.ts')).register(program)
    await program.parseAsync(args, { from: 'user' })
    return 0
  } catch (error) {
    const message = messageOf(error)
    if (message !== null) process.stderr.write(`odradek: ${message}\n`)
    return exitCodeOf(error)
  }
}
