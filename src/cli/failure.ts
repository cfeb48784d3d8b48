/** How commands fail: what is said, in one line, and the exit code. */
import { CommanderError, InvalidArgumentError } from 'commander'

/** Asked for wrongly, in a way only the command itself can see. */
export class UsageError extends Error {
  override name = 'UsageError'
}

/** 2 for what a corrected command line would cure, 1 for the rest; commander's own exits (--help) are 0. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  if (error instanceof UsageError) return 2
  // By name: the class comes with the whole configuration, which client commands do not load.
  return error instanceof Error && error.name === 'ConfigError' ? 2 : 1
}

/** One line, or null when it has been said already. */
export function messageOf(error: unknown): string | null {
  if (error instanceof CommanderError && !(error instanceof InvalidArgumentError)) return null
  const { name, message } = error as Error
  const text = message === '' ? name : message
  return text.replace(/\s*\n\s*/g, ' ')
}
