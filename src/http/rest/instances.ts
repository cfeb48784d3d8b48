/**
 * The consumer instances of this broker, by group and name: how many there may be, which of them a call means, and the
 * end of those that nobody asks any more. Names of the latter are remembered for a while, so that their clients learn
 * what happened instead of "no such instance". Dispatcher thread.
 *
 *   create ──▶ idle ── a call ──▶ busy ── its answer ──▶ idle ── consumer.instance.timeout.ms ──▶ gone (410)
 *                └── DELETE ──▶ nothing (404)
 */
import { randomUUID } from 'node:crypto'
import type { Caller } from '../../groups/calls.ts'
import { Deadline } from '../../groups/deadline.ts'
import { isIdTooLong } from '../../groups/ids.ts'
import { Metric, type ThreadMetrics } from '../../metrics.ts'
import { echoed } from '../problem.ts'
import { ConsumerInstance, type InstanceContext, type InstanceOptions } from './instance.ts'
import { RestCode, restProblem } from './rest-problem.ts'

export interface InstanceLimits {
  readonly instancesMax: number
  readonly instancesPerGroupMax: number
  readonly idleMs: number
}

interface Entry {
  readonly instance: ConsumerInstance
  readonly idle: Deadline
  /** Calls under way; the one for records is there only once. */
  calls: number
  isPolling: boolean
}

/** Names of instances that idled out, kept for as many. */
const goneMax = 10_000

export class Instances {
  readonly #limits: InstanceLimits
  readonly #context: InstanceContext
  readonly #metrics: ThreadMetrics
  readonly #groups = new Map<string, Map<string, Entry>>()
  readonly #gone = new Set<string>()
  readonly #ending = new Set<Promise<void>>()
  #size = 0
  #isClosed = false

  constructor(limits: InstanceLimits, context: InstanceContext, metrics: ThreadMetrics) {
    this.#limits = limits
    this.#metrics = metrics
    this.#context = context
  }

  /** @throws HttpProblem for a name that is taken or cannot be, and when there are too many */
  create(
    group: string,
    name: string | null,
    options: InstanceOptions,
    clientHost: string,
  ): ConsumerInstance {
    this.#checkId('group', group)
    const id = name ?? `rest-consumer-${randomUUID()}`
    this.#checkId('name', id)
    this.#checkRoom(group, id)
    const caller: Caller = { clientId: id, clientHost }
    const instance = new ConsumerInstance({ group, id }, options, caller, this.#context)
    const idle = new Deadline(this.#context.clock, () => this.#idledOut(instance))
    const instances = this.#groups.get(group) ?? new Map<string, Entry>()
    this.#groups.set(group, instances.set(id, { instance, idle, calls: 0, isPolling: false }))
    this.#count(1)
    this.#gone.delete(keyOf(group, id))
    idle.set(this.#limits.idleMs)
    return instance
  }

  /** Runs a call of an instance, which does not idle meanwhile. @throws HttpProblem 40403, 41001 */
  async call<T>(
    group: string,
    id: string,
    run: (instance: ConsumerInstance) => T | Promise<T>,
  ): Promise<T> {
    const entry = this.#find(group, id)
    entry.calls++
    entry.idle.clear()
    try {
      return await run(entry.instance)
    } finally {
      entry.calls--
      if (entry.calls === 0 && !entry.instance.isEnded) entry.idle.set(this.#limits.idleMs)
    }
  }

  /** As `call`, one at a time: two would tear the records between them. @throws HttpProblem 40903 too */
  async poll<T>(group: string, id: string, run: (instance: ConsumerInstance) => Promise<T>) {
    const entry = this.#find(group, id)
    if (entry.isPolling) {
      const what = `another call for records of instance ${echoed(id)} is under way`
      throw restProblem(RestCode.illegalState, `${what}: wait for its answer, or create one each`)
    }
    entry.isPolling = true
    try {
      return await this.call(group, id, run)
    } finally {
      entry.isPolling = false
    }
  }

  /** Ends an instance for its client; resolves when it has left its group. @throws HttpProblem 40403, 41001 */
  async remove(group: string, id: string): Promise<void> {
    const { instance } = this.#find(group, id)
    await this.#end(instance, true)
  }

  /** All instances leave their groups. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const instances of [...this.#groups.values()]) {
      for (const { instance } of [...instances.values()]) void this.#end(instance, false)
    }
    await Promise.all(this.#ending)
  }

  #find(group: string, id: string): Entry {
    const entry = this.#groups.get(group)?.get(id)
    if (entry !== undefined) return entry
    if (this.#gone.has(keyOf(group, id))) {
      const seconds = this.#limits.idleMs / 1000
      const what = `instance ${echoed(id)} of group ${echoed(group)} has left it: nothing was asked of it for ${seconds} s`
      const cure = `create it anew with POST /consumers/${encodeURIComponent(group)}`
      throw restProblem(RestCode.instanceGone, `${what} (consumer.instance.timeout.ms); ${cure}`)
    }
    const what = `group ${echoed(group)} has no consumer instance ${echoed(id)}`
    const cure = `POST /consumers/${encodeURIComponent(group)} creates one`
    throw restProblem(RestCode.instanceNotFound, `${what}; ${cure}`)
  }

  #idledOut(instance: ConsumerInstance): void {
    const { group, id } = instance
    if (this.#gone.size >= goneMax) {
      for (const oldest of this.#gone) {
        this.#gone.delete(oldest)
        break
      }
    }
    this.#gone.add(keyOf(group, id))
    this.#metrics.add(Metric.consumerInstancesIdle, 1)
    void this.#end(instance, false)
  }

  /** @param isDone the client said so: all it was given counts as done with */
  #end(instance: ConsumerInstance, isDone: boolean): Promise<void> {
    const { group, id } = instance
    const instances = this.#groups.get(group)
    const entry = instances?.get(id)
    if (entry?.instance === instance) {
      entry.idle.clear()
      instances?.delete(id)
      if (instances?.size === 0) this.#groups.delete(group)
      this.#count(-1)
    }
    const ending = instance
      .end(isDone)
      .catch((error: unknown) => this.#context.warn((error as Error).message))
      .finally(() => this.#ending.delete(ending))
    this.#ending.add(ending)
    return ending
  }

  #count(change: number): void {
    this.#size += change
    this.#metrics.set(Metric.consumerInstances, this.#size)
  }

  #checkId(what: string, id: string): void {
    const { idBytesMax } = this.#context.groups
    if (id !== '' && !isIdTooLong(id, idBytesMax)) return
    const size = `${what} of ${Buffer.byteLength(id)} bytes`
    throw restProblem(RestCode.badConfig, `${size}: from 1 to ${idBytesMax} are taken`)
  }

  #checkRoom(group: string, id: string): void {
    if (this.#isClosed) throw restProblem(RestCode.unavailable, 'the broker is shutting down')
    const instances = this.#groups.get(group)
    if (instances?.has(id) === true) {
      const what = `group ${echoed(group)} has a consumer instance ${echoed(id)} already`
      throw restProblem(RestCode.instanceExists, `${what}: use that one, or another name`)
    }
    const { instancesMax, instancesPerGroupMax } = this.#limits
    if (this.#size >= instancesMax)
      throw tooMany(`${instancesMax} consumer instances`, 'consumer.instances.max')
    if ((instances?.size ?? 0) >= instancesPerGroupMax) {
      const what = `${instancesPerGroupMax} consumer instances in group ${echoed(group)}`
      throw tooMany(what, 'consumer.instances.per.group.max')
    }
  }
}

function tooMany(what: string, setting: string): Error {
  const cure = `DELETE those that are not needed, or raise ${setting}`
  return restProblem(RestCode.tooManyInstances, `there are ${what} already: ${cure}`)
}

const keyOf = (group: string, id: string): string => `${group}\0${id}`
