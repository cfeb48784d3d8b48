/**
 * Tests that need something a machine may lack (kcat, a data set): they are skipped with one line that says how to get
 * it (skip-reporter.ts prints it after the run), never silently. With CI=true nothing may be skipped: there the same
 * situation is a failure.
 *
 *     const kcat = findCommand('kcat')
 *     test('kcat reads what it wrote', async context => {
 *       requireThat(context, kcat !== null, 'kcat is not installed', 'apt-get install kcat')
 */
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** The part of vitest's test context that is used here. */
export interface Skippable {
  skip(note?: string): never
}

/**
 * Goes on when `present`; else skips the running test, or fails it when CI=true.
 * @param missing what is missing, as `kcat is not installed`. @param cure a command that brings it.
 */
export function requireThat(
  context: Skippable,
  present: boolean,
  missing: string,
  cure: string,
  environment: NodeJS.ProcessEnv = process.env,
): asserts present {
  if (present) return
  const line = `${missing}; to run this test: ${cure}`
  if (environment.CI === 'true') throw new Error(`nothing may be skipped with CI=true: ${line}`)
  context.skip(line)
}

/** Requires an executable on the PATH. @returns its path. */
export function requireCommand(context: Skippable, command: string, packageName = command): string {
  const path = findCommand(command)
  requireThat(
    context,
    path !== null,
    `${command} is not installed`,
    `apt-get install ${packageName}`,
  )
  return path
}

/** @returns the path of an executable on the PATH, or null. */
export function findCommand(command: string, searchPath = process.env.PATH ?? ''): string | null {
  for (const directory of searchPath.split(delimiter)) {
    const path = join(directory, command)
    if (directory !== '' && isExecutable(path)) return path
  }
  return null
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
