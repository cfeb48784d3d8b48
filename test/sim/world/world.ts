/**
 * Simulated time: a heap of events, one thread, no real clock. Ties are broken by the seed, so the seed explores
 * schedules. Every event and every disk operation is mixed into a hash: two runs of a seed must agree on it.
 */
import type { Clock } from '../../../src/contracts/clock.ts'
import { Random } from './random.ts'
import { nextTurn } from './traps.ts'

interface Event {
  readonly atMs: number
  readonly tie: number
  readonly label: string
  /** The process that scheduled it, or `forever`: what a dead process had in mind never happens. */
  readonly life: number
  fire: (() => void) | null
}

/** Survives the end of the process: clients, the machine, the simulation itself. */
export const forever = -1

export type Cancel = () => void

export class World {
  readonly seed: number
  readonly random: Random
  nowMs = 0
  events = 0
  /** Number of the process that lives now. */
  life = 0
  hash = 0x811c9dc5
  wallShiftMs = 0
  monotonicShiftMs = 0
  /** Called after every event. */
  onStep: () => void = () => {}
  /** Lines of what happened, when somebody wants to read them. */
  readonly trace: string[] | null
  readonly counts = new Map<string, number>()
  readonly #heap: Event[] = []
  readonly #timers = new Set<{ atMs: number; cancel: Cancel; fire: () => void; life: number }>()

  constructor(seed: number, isTraced: boolean) {
    this.seed = seed
    this.random = new Random(seed)
    this.trace = isTraced ? [] : null
  }

  /** Schedules `fire`; the returned function cancels. */
  after(delayMs: number, label: string, life: number, fire: () => void): Cancel {
    const atMs = this.nowMs + Math.max(0, delayMs)
    const event: Event = { atMs, tie: this.random.next(), label, life, fire }
    this.#push(event)
    return () => {
      event.fire = null
    }
  }

  /** Runs events until `isDone`, or none is left, or there were `eventsMax`. Promises settle after each event. */
  async run(eventsMax: number, isDone: () => boolean = () => false): Promise<void> {
    const last = this.events + eventsMax
    while (this.#heap.length > 0 && this.events < last && !isDone()) {
      const event = this.#pop()
      if (event.fire === null || (event.life !== forever && event.life !== this.life)) continue
      this.nowMs = event.atMs
      this.events++
      this.mixText(event.label)
      this.mix(Math.round(this.nowMs * 1000))
      event.fire()
      await nextTurn()
      this.onStep()
    }
  }

  /** How many events of the living wait. */
  get pending(): number {
    return this.#heap.filter(({ fire, life }) => {
      return fire !== null && (life === forever || life === this.life)
    }).length
  }

  mix(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x01000193) >>> 0
  }

  mixText(text: string): void {
    let hash = this.hash
    for (let at = 0; at < text.length; at++) {
      hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
    }
    this.hash = hash >>> 0
  }

  /** Counts what was met, so that one can see what the seeds reach. */
  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1)
  }

  note(text: () => string): void {
    this.trace?.push(`${this.nowMs.toFixed(3).padStart(12)} ${text()}`)
  }

  /** The clocks of the process that lives now. */
  clock(): Clock {
    const { life } = this
    return {
      wallMs: () => 1_700_000_000_000 + Math.floor(this.nowMs) + this.wallShiftMs,
      monotonicMs: () => 1_000 + this.nowMs + this.monotonicShiftMs,
      after: (delayMs, fire) => this.#arm(delayMs, life, fire),
    }
  }

  #arm(delayMs: number, life: number, fire: () => void): Cancel {
    // Node's timers may fire a little early, and late at any rate.
    const late = this.random.chance(0.1) ? this.random.next() * 50 : this.random.next() - 0.5
    const timer = { atMs: this.nowMs + Math.max(0, delayMs + late), cancel: () => {}, fire, life }
    const arm = (): void => {
      timer.cancel = this.after(timer.atMs - this.nowMs, 'timer', life, () => {
        this.#timers.delete(timer)
        fire()
      })
    }
    this.#timers.add(timer)
    arm()
    return () => {
      timer.cancel()
      this.#timers.delete(timer)
    }
  }

  /** The machine slept: the monotonic clock has moved, and timers with it. */
  jumpMonotonic(ms: number): void {
    this.monotonicShiftMs += ms
    for (const timer of [...this.#timers]) {
      if (timer.life !== this.life) {
        this.#timers.delete(timer)
        continue
      }
      timer.cancel()
      timer.atMs = Math.max(this.nowMs, timer.atMs - ms)
      timer.cancel = this.after(timer.atMs - this.nowMs, 'timer', timer.life, () => {
        this.#timers.delete(timer)
        timer.fire()
      })
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (!isBefore(event, heap[parent] as Event)) break
      heap[at] = heap[parent] as Event
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event {
    const heap = this.#heap
    const first = heap[0] as Event
    const last = heap.pop() as Event
    if (heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      const right = child + 1
      if (right < heap.length && isBefore(heap[right] as Event, heap[child] as Event)) child = right
      if (!isBefore(heap[child] as Event, last)) break
      heap[at] = heap[child] as Event
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie)
}
