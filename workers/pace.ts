/**
 * Keeps a task to a rate by sleeping on its own thread, and to half of the time at most: whoever answers clients wants
 * the cores and the disk as well. Pool threads only: it blocks.
 *
 *   work | sleep | work | sleep      a few ms each, so that nobody waits for longer than that
 */

/** Sleeps shorter than this are saved up. */
const SLEEP_MS_MIN = 2
/** Time that was not used is not saved up for a burst, beyond this. */
const CREDIT_MS_MAX = 100
/** Of the time between two sleeps, waiting for the disk included. */
const WORK_SHARE_MAX = 0.5

/** Tell it of every byte. Infinity: no limit but the share of the time. */
export function sleepingPace(bytesPerSecondMax: number): (bytes: number) => void {
  const word = new Int32Array(new SharedArrayBuffer(4))
  let wokenMs = performance.now()
  let dueMs = wokenMs
  return bytes => {
    const nowMs = performance.now()
    dueMs = Math.max(dueMs, nowMs - CREDIT_MS_MAX) + (bytes / bytesPerSecondMax) * 1000
    const restMs = (nowMs - wokenMs) * (1 / WORK_SHARE_MAX - 1)
    const sleepMs = Math.max(dueMs - nowMs, restMs)
    if (sleepMs < SLEEP_MS_MIN) return
    Atomics.wait(word, 0, 0, sleepMs)
    wokenMs = performance.now()
  }
}
