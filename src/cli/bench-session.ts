/**
 * One run of `odradek bench`: connects, makes topics, starts load generators as processes, checks what the log holds
 * afterwards, and takes the topics away again: at the end, at a failure, at Ctrl-C.
 */
import { Admin } from '../client/admin.ts'
import {
  type Driver,
  type LoadResult,
  type LoadSettings,
  runLoadProcess,
} from '../load/load-process.ts'
import { type LoadTopic, LoadTopics } from '../load/load-topics.ts'
import type { LoadBounds } from '../load/load-window.ts'
import { Errors, KafkaError } from '../protocol/errors.ts'
import { type BenchTarget, brokerCpuSeconds } from './bench-target.ts'
import { ProgressBar } from './progress-bar.ts'
import { reachable } from './reachable.ts'

export interface Measured extends LoadResult {
  /** Of the broker's process during the whole load, warm-up included; NaN where it does not tell. */
  readonly brokerCpuSeconds: number
}

export class BenchSession {
  readonly target: BenchTarget
  readonly admin: Admin
  readonly topics: LoadTopics
  readonly #abort = new AbortController()

  private constructor(target: BenchTarget) {
    this.target = target
    this.admin = new Admin({ bootstrap: target.bootstrap, clientId: 'odradek-bench' })
    this.topics = new LoadTopics(this.admin)
  }

  /** `keep`: topics stay; their names are printed to stderr. */
  static async run(
    target: BenchTarget,
    keep: boolean,
    work: (session: BenchSession) => Promise<void>,
  ): Promise<void> {
    const session = new BenchSession(target)
    const stop = session.#stopOnSignals()
    try {
      await reachable(target.bootstrap, () => session.admin.connect())
      await work(session)
      await session.#tidyUp(keep, false)
    } catch (error) {
      const isInterrupted = session.#abort.signal.aborted
      await session.#tidyUp(keep, true)
      throw isInterrupted ? new Error('interrupted, no figures') : error
    } finally {
      stop()
      await session.admin.close()
    }
  }

  /**
   * A topic for one load. Where the broker is not odradek, configs it does not know are left out.
   * @returns the topic, and when its records reach the disk, as far as it is known
   */
  async createTopic(
    what: string,
    partitionCount: number,
    configs: ReadonlyMap<string, string> = new Map(),
  ): Promise<{ readonly topic: LoadTopic; readonly flush: string }> {
    this.#abort.signal.throwIfAborted()
    const topic = await this.topics.create(what, partitionCount, configs).catch(error => {
      const isRefused = error instanceof KafkaError && error.code === Errors.INVALID_CONFIG
      if (!isRefused || this.target.http !== null) throw error
      return this.topics.create(what, partitionCount)
    })
    return { topic, flush: await this.#flushOf(topic) }
  }

  /** Runs one load, with a bar on a terminal. After a load that produces, the log must hold all of it, no more. */
  async load<D extends Driver>(
    what: string,
    driver: D,
    settings: LoadSettings<D> & LoadBounds,
    topic: LoadTopic,
  ): Promise<Measured> {
    this.#abort.signal.throwIfAborted()
    const bar = new ProgressBar(process.stderr, undefined, 'share')
    const cpuBefore = await brokerCpuSeconds(this.target)
    let last = { seconds: 0, messages: 0 }
    const result = await runLoadProcess(driver, settings, {
      signal: this.#abort.signal,
      onSample: sample => {
        const speed = (sample.messages - last.messages) / (sample.seconds - last.seconds)
        last = sample
        const share = Math.max(
          sample.seconds / settings.seconds,
          sample.payloadBytes / settings.payloadBytesMax,
        )
        bar.update(`${what} ${Math.round(speed).toLocaleString('en-US')} msg/s`, share, 1)
      },
    }).finally(() => bar.stop())
    const cpuAfter = await brokerCpuSeconds(this.target)
    if (settings.mode !== 'consume') await this.topics.expectRecords(topic, result.messagesInAll)
    return { ...result, brokerCpuSeconds: cpuAfter - cpuBefore }
  }

  async #flushOf({ name }: LoadTopic): Promise<string> {
    const configs = await this.admin.topicConfigs(name)
    const value = (key: string) => configs.find(config => config.name === key)?.value
    const policy = value('flush.policy') ?? '-'
    if (policy !== 'interval') return policy
    return `interval ${value('flush.messages')} / ${Number(value('flush.ms')) / 1000} s`
  }

  async #tidyUp(keep: boolean, afterFailure: boolean): Promise<void> {
    const { names } = this.topics
    if (keep) {
      for (const name of names) process.stderr.write(`odradek: topic ${name} is kept\n`)
      return
    }
    try {
      await this.topics.remove({ afterFailure })
    } catch (error) {
      const why = (error as Error).message
      process.stderr.write(
        `odradek: these topics are left: ${this.topics.names.join(' ')} (${why})\n`,
      )
    }
  }

  /** The first signal ends the load, and what was begun is taken away; the second one ends the process. */
  #stopOnSignals(): () => void {
    const onSignal = (): void => {
      if (this.#abort.signal.aborted) process.exit(1)
      this.#abort.abort()
    }
    process.on('SIGINT', onSignal)
    process.on('SIGTERM', onSignal)
    return () => {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    }
  }
}
