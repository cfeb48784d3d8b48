/** A file system of a few megabytes for one test: tmpfs, so root and Linux only. */
import { execFileSync } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { onTestFinished } from 'vitest'
import { requireThat, type Skippable } from './requires.ts'
import { makeTempDirectory } from './temp-directory.ts'

export interface SmallDiskOptions {
  readonly sizeMiB: number
  /** Files and directories it can hold; default: as many as fit. */
  readonly inodes?: number
}

/**
 * Mounts it, unmounts it when the running test ends. Skips the test where that is not allowed.
 * Tests end their brokers before: register those after this call.
 */
export async function smallDisk(
  context: Skippable,
  { sizeMiB, inodes }: SmallDiskOptions,
): Promise<string> {
  const isAllowed = process.platform === 'linux' && process.getuid?.() === 0
  requireThat(context, isAllowed, 'mounting a tmpfs needs root on Linux', 'sudo npm test')
  const { path } = await makeTempDirectory('odradek-small-disk-')
  const options = `size=${sizeMiB}m${inodes === undefined ? '' : `,nr_inodes=${inodes}`}`
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path])
  onTestFinished(async () => {
    execFileSync('umount', ['--lazy', path])
    await rm(path, { recursive: true })
  })
  return path
}
