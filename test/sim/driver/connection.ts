/**
 * A client's connection to the broker: requests arrive in the order they were sent, answers too, both take a while, and
 * either side may go away in between.
 */
import type { Random } from '../world/random.ts'
import { forever, type World } from '../world/world.ts'
import type { Broker } from './broker.ts'

export class Connection {
  readonly #world: World
  readonly #random: Random
  readonly broker: Broker
  readonly #onClosed: () => void
  #isOpen = true
  /** Under way, oldest first: simultaneous events may come in any order, what a connection carries may not. */
  readonly #requests: (() => void)[] = []
  readonly #answers: (() => void)[] = []
  #lastRequestMs = 0
  #lastAnswerMs = 0
  /** Answers under way that come after this do not come. */
  #answersUntilMs = Number.POSITIVE_INFINITY

  constructor(world: World, broker: Broker, onClosed: () => void) {
    this.#world = world
    this.#random = world.random
    this.broker = broker
    this.#onClosed = onClosed
    broker.connections.add(this)
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  /** `serve` runs in the broker, if that still lives then, with a way to answer. */
  request<T>(
    label: string,
    serve: (answer: (value: T) => void) => void,
    answered: (value: T) => void,
  ): void {
    const arrivesMs = Math.max(this.#lastRequestMs, this.#world.nowMs + this.#delayMs())
    this.#lastRequestMs = arrivesMs
    this.#requests.push(() => serve(value => this.#answer(label, () => answered(value))))
    this.#world.after(arrivesMs - this.#world.nowMs, label, forever, () => {
      const next = this.#requests.shift()
      if (this.broker.isAlive) next?.()
    })
  }

  #answer(label: string, deliver: () => void): void {
    const atMs = Math.max(this.#lastAnswerMs, this.#world.nowMs + this.#delayMs())
    this.#lastAnswerMs = atMs
    this.#answers.push(deliver)
    this.#world.after(atMs - this.#world.nowMs, `answer ${label}`, forever, () => {
      const next = this.#answers.shift()
      if (atMs <= this.#answersUntilMs) next?.()
    })
  }

  #delayMs(): number {
    return this.#random.chance(0.02) ? this.#random.next() * 200 : this.#random.next()
  }

  /** The client gives up: it hears nothing more; what it sent may still arrive. */
  drop(): void {
    this.#isOpen = false
    this.#answersUntilMs = -1
    this.broker.connections.delete(this)
  }

  /** The broker is gone; answers that had left may arrive before the client notices. */
  reset(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const noticedMs = this.#random.next() * 2
    this.#answersUntilMs = this.#world.nowMs + noticedMs
    this.#world.after(noticedMs, 'connection reset', forever, () => {
      if (this.#answersUntilMs >= 0) this.#onClosed()
    })
  }
}
