/**
 * Preloaded into owner threads (`--import`), so that a test can break one in ways no request can. The test sets a word
 * of shared memory per owner; the thread looks at it every few milliseconds.
 */
import { getEnvironmentData, workerData } from 'node:worker_threads'
import type { OwnerBoot } from '../../src/contracts/owner-boot.ts'

/** Name under which the words travel to new threads (`setEnvironmentData`). */
export const breakWords = 'odradek-test-break'

export const Break = {
  none: 0,
  /** Throws between two rounds. */
  throw: 1,
  /** Throws in the middle of a round: bytes are in the file, nobody knows. */
  throwInRound: 2,
  /** Rejects a promise that nobody looks at. */
  reject: 3,
  /** Fills the JavaScript heap. */
  heap: 4,
  /** Throws in this thread, and in all that follow it. */
  throwAlways: 5,
  /** Burns CPU for ever. */
  spin: 6,
  /** The same in the middle of a round. */
  spinInRound: 7,
} as const

const words = getEnvironmentData(breakWords)
const { ownerIndex } = (workerData ?? { ownerIndex: -1 }) as OwnerBoot
if (words instanceof SharedArrayBuffer && ownerIndex >= 0) {
  const word = new Int32Array(words)
  setInterval(() => {
    const how = Atomics.load(word, ownerIndex)
    // The next thread shall live.
    if (how !== Break.throwAlways) Atomics.store(word, ownerIndex, Break.none)
    breakNow(how)
  }, 2).unref()
}

function breakNow(how: number): void {
  switch (how) {
    case Break.throw:
    case Break.throwAlways:
      throw new Error('broken by a test')
    case Break.throwInRound:
      inRound(() => {
        throw new Error('broken by a test, in a round')
      })
      return
    case Break.spinInRound:
      inRound(spin)
      return
    case Break.spin:
      spin()
      return
    case Break.reject:
      void Promise.reject(new Error('broken by a test'))
      return
    case Break.heap: {
      const hoard: string[] = []
      for (;;) hoard.push(`${hoard.length}`.repeat(100))
    }
  }
}

function spin(): void {
  for (;;) Math.sqrt(2)
}

/** The owner stores offsets for other threads after it wrote a batch and before it answers. */
function inRound(breakIt: () => void): void {
  const store = Atomics.store
  let calls = 0
  Atomics.store = ((...args: Parameters<typeof store>) => {
    if (++calls === 20) breakIt()
    return store(...args)
  }) as typeof store
}
