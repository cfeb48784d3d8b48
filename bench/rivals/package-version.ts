/** Versions as Debian's package manager tells them. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

/** @returns the version of an installed package, or `version unknown` where dpkg does not know it. */
export async function packageVersion(name: string): Promise<string> {
  const format = '$' + '{Version}'
  try {
    const { stdout } = await promisify(execFile)('dpkg-query', ['-W', '-f', format, name])
    return stdout.trim()
  } catch {
    return 'version unknown'
  }
}
