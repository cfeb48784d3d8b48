/** Signs of life of one member in one generation, in the background, until they are stopped or refused for good. */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { mayPass } from './group-coordinator.ts'
import { Pause } from './pause.ts'

export interface HeartbeatOptions {
  readonly intervalMs: number
  /** Sends one. @throws KafkaError what the group has against it, or that it could not be asked */
  readonly beat: () => Promise<void>
  /** Told of a rebalance (once, it goes on beating) and of a refusal, the last thing it says. */
  readonly onRefused: (error: Error) => void
  /** Told when the coordinator is away; it goes on trying. */
  readonly onAway: (error: KafkaError) => void
}

const retryMs = 100

export class Heartbeats {
  readonly #options: HeartbeatOptions
  readonly #pause = new Pause()
  #isStopped = false
  #hasToldRebalance = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
    void this.#run()
  }

  stop(): void {
    this.#isStopped = true
    this.#pause.end()
  }

  async #run(): Promise<void> {
    const { intervalMs } = this.#options
    let waitMs = intervalMs
    for (;;) {
      await this.#pause.wait(waitMs)
      if (this.#isStopped) return
      const failure = await this.#beat()
      if (this.#isStopped) return
      if (failure !== null && !mayPass(failure)) return this.#options.onRefused(failure)
      if (failure !== null) this.#options.onAway(failure)
      waitMs = failure === null ? intervalMs : Math.min(intervalMs, retryMs)
    }
  }

  async #beat(): Promise<Error | null> {
    try {
      await this.#options.beat()
    } catch (error) {
      const isRebalance = error instanceof KafkaError && error.code === Errors.REBALANCE_IN_PROGRESS
      if (!isRebalance) return error as Error
      if (!this.#hasToldRebalance && !this.#isStopped) this.#options.onRefused(error)
      this.#hasToldRebalance = true
    }
    return null
  }
}
