/**
 * Heap limits of worker threads, chosen so that a thread that runs out of heap dies alone. Dispatcher thread.
 *
 * Node ends a thread that reaches its limit by granting it 16 MB more to unwind in. One collection that promotes more
 * than that out of the young generation (48 MB by default) aborts the whole process instead; with a small young
 * generation it cannot (measured, Node 24: strings pushed in a loop abort 1 of 1 times by default, never with 16 MB).
 * A single object above 16 MB still can: threads keep large data in buffers, which are not in this heap.
 */
import type { ResourceLimits } from 'node:worker_threads'

const youngMbMax = 16

/** @param heapMbMax JavaScript heap of one thread, in MiB. Buffers and shared memory do not count. */
export function threadHeap(heapMbMax: number): ResourceLimits {
  return { maxOldGenerationSizeMb: heapMbMax, maxYoungGenerationSizeMb: youngMbMax }
}
