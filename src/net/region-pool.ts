/**
 * Regions of the response arena for what owners read, and the requests that wait for room there. Dispatcher thread.
 * Slow readers keep regions until their sockets take the bytes: they delay other readers at worst, never producers.
 */
import type { Arena, Region } from '../ring/arena.ts'

export class RegionPool {
  readonly arena: Arena
  #waiting: (() => void)[] = []
  #waking = false

  constructor(arena: Arena) {
    this.arena = arena
  }

  allocate(sizeBytes: number): Region | null {
    return this.arena.alloc(sizeBytes)
  }

  /** Gives the unused tail back once the owner said how much it read. */
  trim(region: Region, keepBytes: number): void {
    this.arena.trim(region, keepBytes)
    this.#wakeLater()
  }

  free(region: Region): void {
    this.arena.free(region)
    this.#wakeLater()
  }

  /** Calls `retry` after the next time space is freed. */
  wait(retry: () => void): void {
    this.#waiting.push(retry)
  }

  /** Lets everybody who waits look again. */
  wake(): void {
    const retries = this.#waiting
    this.#waiting = []
    for (const retry of retries) retry()
  }

  #wakeLater(): void {
    if (this.#waiting.length === 0 || this.#waking) return
    this.#waking = true
    setImmediate(() => {
      this.#waking = false
      this.wake()
    })
  }
}
