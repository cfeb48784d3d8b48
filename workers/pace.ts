/** Keeps a task to a rate by sleeping on its own thread. Pool threads only: it blocks. */

/** Sleeps shorter than this are saved up. */
const SLEEP_MS_MIN = 5

/** Time that was not used is not saved up for a burst, beyond this. */
const CREDIT_MS_MAX = 100

/** Tell it of every byte. */
export function sleepingPace(bytesPerSecondMax: number): (bytes: number) => void {
  const word = new Int32Array(new SharedArrayBuffer(4))
  let dueMs = performance.now()
  return bytes => {
    const nowMs = performance.now()
    dueMs = Math.max(dueMs, nowMs - CREDIT_MS_MAX) + (bytes / bytesPerSecondMax) * 1000
    if (dueMs - nowMs >= SLEEP_MS_MIN) Atomics.wait(word, 0, 0, dueMs - nowMs)
  }
}
