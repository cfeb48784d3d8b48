/**
 * An honest client beside the attackers: writes, reads back, commits, asks for what it committed, and counts every
 * answer. What it has is its own; nothing an attacker does may change it, or hold it up for ever.
 */
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Errors } from '../../src/protocol/errors.ts'
import { batchOf, createTopic, fetchRow, readAll, store, valuesOf } from '../broker/fixture.ts'
import { commit, fetchOffsets } from '../groups/offsets-kit.ts'
import { WireClient } from '../support/wire-client.ts'

/** A bound for machines under load, not an expectation. */
const stepTimeoutMs = 60_000
const shortPause = () => sleep(2)

export class Canary {
  readonly topic: string
  steps = 0
  slowestMs = 0
  slowestStep = 'none'
  readonly #client: WireClient
  readonly #groupId: string
  #run: Promise<void> = Promise.resolve()
  #step = 'rest'
  #sinceMs = 0
  #pause: () => Promise<void> = shortPause

  private constructor(client: WireClient, topic: string) {
    this.#client = client
    this.topic = topic
    this.#groupId = `group of ${topic}`
  }

  /** `onError` is told as soon as it suffers. */
  static async start(bootstrap: string, onError: (error: Error) => void): Promise<Canary> {
    const client = await WireClient.connect(bootstrap)
    const canary = new Canary(client, await createTopic(client))
    await canary.#once()
    canary.#run = canary.#loop().catch((cause: unknown) => {
      const { message } = cause as Error
      onError(new Error(`the honest client suffers at step ${canary.steps}: ${message}`))
    })
    return canary
  }

  /** Lets its round under way end; `goOn` starts the next. */
  async rest(): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const resting = Promise.withResolvers<void>()
    this.#pause = () => {
      this.#pause = shortPause
      resting.resolve()
      return promise
    }
    await Promise.race([resting.promise, this.#run])
    return resolve
  }

  /** Everything it wrote and committed is there, in this broker. */
  async verify(bootstrap: string): Promise<void> {
    const client = await WireClient.connect(bootstrap)
    const values = (await readAll(client, this.topic)).map(({ value }) => String(value))
    assert.deepEqual(
      values,
      Array.from({ length: this.steps }, (_, i) => `canary ${i}`),
    )
    const offsets = await fetchOffsets(client, this.#groupId)
    assert.deepEqual(offsets, { [`${this.topic}-0`]: this.steps })
    client.close()
  }

  /** After `rest`: it does not go on. */
  end(): void {
    this.#client.close()
  }

  async #loop(): Promise<void> {
    for (;;) {
      this.#begin('produce')
      await inTime(this.#once(), () => this.#step)
      this.#begin('rest')
      await this.#pause()
    }
  }

  /** Ends the step before. */
  #begin(step: string): void {
    const nowMs = performance.now()
    const tookMs = nowMs - this.#sinceMs
    if (this.#step !== 'rest' && tookMs > this.slowestMs) {
      this.slowestMs = tookMs
      this.slowestStep = this.#step
    }
    this.#step = step
    this.#sinceMs = nowMs
  }

  async #once(): Promise<void> {
    const value = `canary ${this.steps}`
    const key = `${this.topic}-0`
    assert.equal(await store(this.#client, this.topic, batchOf([value])), this.steps)
    this.#begin('fetch')
    const row = await fetchRow(this.#client, this.topic, { offset: this.steps, maxWaitMs: 10_000 })
    assert.equal(row.errorCode, Errors.NONE)
    assert.deepEqual(valuesOf(row, this.steps), [value])
    this.#begin('commit')
    const committed = await commit(this.#client, this.#groupId, { [key]: this.steps + 1 })
    assert.deepEqual(committed, { [key]: Errors.NONE })
    this.#begin('fetch offsets')
    const offsets = await fetchOffsets(this.#client, this.#groupId)
    assert.deepEqual(offsets, { [key]: this.steps + 1 })
    this.steps++
  }
}

async function inTime(work: Promise<void>, what: () => string): Promise<void> {
  const timer = Promise.withResolvers<never>()
  const late = setTimeout(
    () => timer.reject(new Error(`no answer to ${what()} within ${stepTimeoutMs} ms`)),
    stepTimeoutMs,
  )
  try {
    await Promise.race([work, timer.promise])
  } finally {
    clearTimeout(late)
  }
}
