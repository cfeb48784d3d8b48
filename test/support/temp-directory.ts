/** Directories for tests: fresh, outside the checkout, removed when the test that asked ends. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'

export interface TempDirectory {
  readonly path: string
  /** Absolute path of something inside. */
  file(...names: string[]): string
  remove(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** @returns a new empty directory; the caller removes it (`await using`, or `remove()`). */
export async function makeTempDirectory(prefix = 'odradek-test-'): Promise<TempDirectory> {
  const path = await mkdtemp(join(tmpdir(), prefix))
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 3 })
  return {
    path,
    file: (...names) => join(path, ...names),
    remove,
    [Symbol.asyncDispose]: remove,
  }
}

/** @returns the path of a new empty directory that vitest removes after the running test. Call it inside a test. */
export async function tempDirectory(prefix?: string): Promise<string> {
  const directory = await makeTempDirectory(prefix)
  onTestFinished(() => directory.remove())
  return directory.path
}
