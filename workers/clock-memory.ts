/**
 * What an owner knew of the clocks, in shared memory that outlives its thread (OwnerBoot.clockMemory). Owner thread
 * only; the one before is dead when the next one reads.
 *
 *   | known | wall ms | monotonic ms | paused until |      doubles; monotonic times as the machine counts them: each
 *                                                          thread's own clock starts at 0
 */
import type { Clock } from '../src/contracts/clock.ts'
import type { ClockMemory } from './clock-trust.ts'

/** The machine's monotonic clock, the same in all threads. */
function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export function sharedClockMemory(sab: SharedArrayBuffer, clock: Clock): ClockMemory {
  const words = new Float64Array(sab)
  const shiftMs = machineMs() - clock.monotonicMs()
  return {
    read() {
      const [known, wallMs, monotonicMs, pausedUntilMs] = words
      if (known !== 1) return null
      return {
        wallMs,
        monotonicMs: monotonicMs - shiftMs,
        pausedUntilMs: pausedUntilMs - shiftMs,
      }
    },
    write({ wallMs, monotonicMs, pausedUntilMs }) {
      words.set([1, wallMs, monotonicMs + shiftMs, pausedUntilMs + shiftMs])
    },
  }
}
