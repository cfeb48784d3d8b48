/** Commands of the system that scenarios need, run to their end, with what they said when they fail. */
import { execFileSync } from 'node:child_process'
import { findCommand } from '../support/requires.ts'
import type { Need } from './scenario.ts'

/** @returns stdout. @throws Error with the command and its stderr. */
export function sh(command: string, ...args: readonly string[]): string {
  try {
    return execFileSync(command, args, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 60_000,
    })
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string }
    throw new Error(`${command} ${args.join(' ')}: ${stderr.trim() || message}`)
  }
}

/** As `sh`, for cleaning up: what fails is none of our business any more. */
export function tryTo(command: string, ...args: readonly string[]): boolean {
  try {
    sh(command, ...args)
    return true
  } catch {
    return false
  }
}

/** Administrators' commands often lie outside the PATH of a shell. */
const searchPath = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`

export function commandNeed(command: string, packageName = command): Need {
  return {
    isThere: findCommand(command, searchPath) !== null,
    missing: `${command} is not installed`,
    cure: `apt-get install ${packageName}`,
    isInstallable: true,
  }
}
