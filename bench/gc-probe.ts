/**
 * Loaded into a measured server with NODE_OPTIONS=--import=..., so main thread and worker threads both run it.
 * SIGUSR2 once: every thread starts counting collections. SIGUSR2 again: every thread writes what it counted to
 * `$BENCH_STATS_DIRECTORY/gc-<thread id>.json` (heap-usage.ts reads it). Signals reach the main thread only; it
 * passes them on over a BroadcastChannel, which a thread hears when its event loop turns.
 *
 * Allocation is what the heap grew between collections:
 *    start .. before GC 1 | after GC 1 .. before GC 2 | ... | after last GC .. stop
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GCProfiler, getHeapStatistics } from 'node:v8'
import { BroadcastChannel, isMainThread, threadId } from 'node:worker_threads'
import type { HeapUsage } from './heap-usage.ts'

/** Not ODRADEK_...: those are settings of the broker, and it refuses unknown ones. */
const directory = process.env.BENCH_STATS_DIRECTORY

/** One counting period of this thread. */
class GcCount {
  readonly #profiler = new GCProfiler()
  readonly #startMs = performance.now()
  readonly #startHeapBytes = getHeapStatistics().used_heap_size

  constructor() {
    this.#profiler.start()
  }

  stop(): HeapUsage {
    const endHeapBytes = getHeapStatistics().used_heap_size
    const wallMs = performance.now() - this.#startMs
    const collections = this.#profiler.stop()?.statistics ?? []
    let floorBytes = this.#startHeapBytes
    let allocatedBytes = 0
    let gcMs = 0
    for (const { beforeGC, afterGC, cost } of collections) {
      allocatedBytes += Math.max(0, beforeGC.heapStatistics.usedHeapSize - floorBytes)
      floorBytes = afterGC.heapStatistics.usedHeapSize
      gcMs += cost / 1000
    }
    allocatedBytes += Math.max(0, endHeapBytes - floorBytes)
    return { threadId, wallMs, gcCount: collections.length, gcMs, allocatedBytes }
  }
}

let counting: GcCount | null = null

function toggle(): void {
  if (counting === null) {
    counting = new GcCount()
    return
  }
  const usage = counting.stop()
  counting = null
  writeFileSync(join(directory!, `gc-${threadId}.json`), JSON.stringify(usage))
}

if (directory !== undefined) {
  const channel = new BroadcastChannel('odradek-bench-gc')
  if (isMainThread) {
    process.on('SIGUSR2', () => {
      channel.postMessage(null)
      toggle()
    })
  } else {
    channel.onmessage = toggle
  }
  // Last, because a handler refs it again: a thread that has nothing else to do shall end. The DOM type that
  // @types/node gives it has no unref(), Node's has.
  ;(channel as unknown as { unref(): void }).unref()
}
