/** What gc-probe.ts counted in the threads of a measured server: the files it leaves, read back. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What the garbage collector did in one JS thread between two SIGUSR2 signals; gc-probe.ts writes it. */
export interface HeapUsage {
  readonly threadId: number
  readonly wallMs: number
  readonly gcCount: number
  /** Time the thread stood still for collections. */
  readonly gcMs: number
  /** Bytes allocated on the JS heap (objects; not the contents of Buffers). */
  readonly allocatedBytes: number
}

/** Collects the files that gc-probe.ts left in `directory`, one a thread, main thread first. */
export function readHeapUsage(directory: string): HeapUsage[] {
  const names = readdirSync(directory).filter(name => /^gc-\d+\.json$/.test(name))
  const usages = names.map(name => JSON.parse(readFileSync(join(directory, name), 'utf8')))
  return (usages as HeapUsage[]).sort((a, b) => a.threadId - b.threadId)
}
