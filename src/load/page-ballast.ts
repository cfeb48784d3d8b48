/**
 * Keeps memory warm for the page cache of a measured server. In a virtual machine that reports free pages to its host
 * (Linux free page reporting, 2 s after they were freed), a page that lay free costs a trip to the host when it is next
 * used: a log file grows at 0.5 GB/s into such pages and at 4 GB/s into others (measured), and which ones it gets is
 * luck. So a ballast of files holds the memory a run will need, and gives it back just before the log takes it.
 *
 *   ballast   | 32 MiB | 32 MiB | 32 MiB | ...        one file is unlinked for every 32 MiB the log grew,
 *   log       ===========>                            two are unlinked ahead
 *
 * The files live for seconds, so they never reach the disk. Elsewhere it does no harm and no good.
 */
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, unlink, writeSync } from 'node:fs'
import { join } from 'node:path'

const chunkBytes = 32 * 1024 * 1024
const aheadBytes = 2 * chunkBytes

/** Fills `directory` with about `bytes` of ballast. Takes 0.3 to 2 s per GB. */
export function fillBallast(directory: string, bytes: number): void {
  mkdirSync(directory, { recursive: true })
  const piece = Buffer.alloc(1024 * 1024, 0x6f)
  for (let chunk = 0; chunk * chunkBytes < bytes; chunk++) {
    const file = openSync(join(directory, `ballast-${chunk}`), 'w')
    for (let at = 0; at < chunkBytes; at += piece.length) writeSync(file, piece)
    closeSync(file)
  }
}

export function dropBallast(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
}

/** Gives ballast back while a log grows. */
export class BallastRelease {
  readonly #paths: string[]
  readonly #chunkCount: number

  /** `directory` null: there is no ballast. */
  constructor(directory: string | null) {
    this.#paths =
      directory === null ? [] : readdirSync(directory).map(name => join(directory, name))
    this.#chunkCount = this.#paths.length
  }

  /** `logBytes`: how much the log has grown since the start. */
  grownTo(logBytes: number): void {
    const wanted = Math.ceil((logBytes + aheadBytes) / chunkBytes)
    while (this.#paths.length > 0 && this.#chunkCount - this.#paths.length < wanted) {
      unlink(this.#paths.pop()!, () => undefined)
    }
  }
}
