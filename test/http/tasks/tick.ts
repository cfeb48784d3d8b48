/**
 * A task for the pool's tests: leaves a timer behind that counts in shared memory, and ends. The counter moves only
 * while the idle thread's event loop turns.
 */
export default function tick(shared: SharedArrayBuffer): void {
  const ticks = new Int32Array(shared)
  setInterval(() => {
    Atomics.add(ticks, 0, 1)
    Atomics.notify(ticks, 0)
  }, 5)
}
