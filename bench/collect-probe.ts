/**
 * Loaded into a measured server with NODE_OPTIONS=--import=..., main thread only. SIGUSR2 makes it collect all garbage
 * and say in `$BENCH_STATS_DIRECTORY/heap.json` what is left: what is in use, not what the collector had no reason to
 * look at yet.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { isMainThread } from 'node:worker_threads'

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void

const directory = process.env.BENCH_STATS_DIRECTORY

if (isMainThread && directory !== undefined) {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as Collect
  const path = join(directory, 'heap.json')
  process.on('SIGUSR2', () => {
    collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
    const { heapUsed, external } = process.memoryUsage()
    writeFileSync(`${path}.new`, JSON.stringify({ heapBytes: heapUsed + external }))
    renameSync(`${path}.new`, path)
  })
}
