/**
 * One owner thread seen from the dispatcher: its Worker, the two rings, the doorbell and the comlink control proxy.
 * Dispatcher thread. An owner may die at any time; a new incarnation gets new rings, and what was outstanding at the
 * dead one is answered by the dispatcher after the thread's exit event, never before: it may still be in a system call.
 */
import { MessageChannel, Worker } from 'node:worker_threads'
import * as Comlink from 'comlink'
import nodeEndpoint from 'comlink/dist/esm/node-adapter.mjs'
import type { OwnerControl, OwnerHost } from '../contracts/control.ts'
import {
  clockMemoryBytes,
  commandSlots,
  type OwnerBoot,
  type OwnerSettings,
  outstandingMax,
  replySlots,
} from '../contracts/owner-boot.ts'
import { type Command, writeCommand } from '../ring/commands.ts'
import { Doorbell } from '../ring/doorbell.ts'
import { Pulse } from '../ring/pulse.ts'
import { Ring } from '../ring/ring.ts'
import { threadHeap } from '../thread-heap.ts'
import { workerUrl } from '../worker-url.ts'

/** What all owners of a dispatcher have in common. */
export interface SharedMemory {
  readonly requestArena: SharedArrayBuffer
  readonly responseArena: SharedArrayBuffer
  readonly dispatcherDoorbells: SharedArrayBuffer
  readonly dispatcherIndex: number
  readonly offsetTable: SharedArrayBuffer
  readonly partitionsMax: number
  readonly metrics: SharedArrayBuffer
  readonly settings: OwnerSettings
  /** Sealed segments that each owner may keep open for readers. */
  readonly sealedFilesMax: number
}

export interface OwnerThreadOptions {
  /** JavaScript heap of the thread in MiB. */
  readonly heapMbMax?: number
  /** Options of node for the thread, in place of the process's own. Tests preload a module that breaks it. */
  readonly execArgv?: readonly string[]
}

/** Producer state and indexes are in it, records are not: 1 GiB is never reached by an honest load. */
const heapMbMaxDefault = 1024

const crashWindowMs = 60_000

export type OwnerControlProxy = Comlink.Remote<OwnerControl>

export class Owner {
  readonly index: number
  readonly #memory: SharedMemory
  readonly #options: OwnerThreadOptions
  readonly #hostOf: (ownerIndex: number, signal: AbortSignal) => OwnerHost
  #worker: Worker | null = null
  #control: OwnerControlProxy | null = null
  #commands: Ring | null = null
  #doorbell: Doorbell | null = null
  #pulse: Pulse | null = null
  #endedBecause: string | null = null
  #unpublished = 0
  /** Commands that found the ring full, oldest first. */
  #overflow: Command[] = []
  readonly #clockMemory = new SharedArrayBuffer(clockMemoryBytes)
  /** Ends the waiting of calls that a dead thread will not answer. */
  readonly #calls = new Set<() => void>()
  replies: Ring | null = null
  outstanding = 0
  /** Times of recent crashes, monotonic ms. */
  crashes: number[] = []

  constructor(
    index: number,
    memory: SharedMemory,
    hostOf: (ownerIndex: number, signal: AbortSignal) => OwnerHost,
    options: OwnerThreadOptions = {},
  ) {
    this.#hostOf = hostOf
    this.index = index
    this.#memory = memory
    this.#options = options
  }

  get alive(): boolean {
    return this.#worker !== null
  }

  /**
   * Calls the control plane. Null when the thread is not running or dies before it answers; rejects as the call does.
   */
  async call<T>(use: (control: OwnerControlProxy) => Promise<T>): Promise<T | null> {
    const control = this.#control
    if (control === null) return null
    const { promise, resolve } = Promise.withResolvers<null>()
    const giveUp = (): void => resolve(null)
    this.#calls.add(giveUp)
    try {
      return await Promise.race([use(control), promise])
    } finally {
      this.#calls.delete(giveUp)
    }
  }

  /** The thread has died; returns how often in the last minute. */
  noteCrash(nowMs: number): number {
    this.crashes = this.crashes.filter(atMs => nowMs - atMs < crashWindowMs)
    return this.crashes.push(nowMs)
  }

  get threadId(): number {
    return this.#worker?.threadId ?? -1
  }

  /**
   * Starts a fresh thread with fresh rings. `onExit` is called once, when the thread is really gone. Throws when the
   * system has no thread or memory for it.
   */
  start(onExit: (error: Error | null) => void): void {
    const memory = this.#memory
    const slots = replySlots(memory.partitionsMax)
    const commandRing = new SharedArrayBuffer(Ring.bytesFor(commandSlots))
    const replyRing = new SharedArrayBuffer(Ring.bytesFor(slots))
    const doorbells = new SharedArrayBuffer(Doorbell.bytesFor(1))
    const pulse = new SharedArrayBuffer(Pulse.bytes())
    const channel = new MessageChannel()
    const boot: OwnerBoot = {
      ownerIndex: this.index,
      links: [
        {
          requestArena: memory.requestArena,
          responseArena: memory.responseArena,
          commandRing,
          replyRing,
          doorbells: memory.dispatcherDoorbells,
          doorbellIndex: memory.dispatcherIndex,
        },
      ],
      doorbells,
      doorbellIndex: 0,
      offsetTable: memory.offsetTable,
      partitionsMax: memory.partitionsMax,
      metrics: memory.metrics,
      metricsThread: this.index + 1,
      pulse,
      settings: memory.settings,
      clockMemory: this.#clockMemory,
      sealedFilesMax: memory.sealedFilesMax,
      hostPort: channel.port2,
    }
    this.#commands = new Ring(commandRing, commandSlots)
    this.replies = new Ring(replyRing, slots)
    this.#doorbell = new Doorbell(doorbells)
    this.#pulse = new Pulse(pulse)
    this.#endedBecause = null
    const worker = new Worker(workerUrl('partition-owner'), {
      workerData: boot,
      transferList: [channel.port2],
      name: `owner-${this.index}`,
      stderr: false,
      resourceLimits: threadHeap(this.#options.heapMbMax ?? heapMbMaxDefault),
      execArgv: this.#options.execArgv as string[] | undefined,
    })
    const life = new AbortController()
    Comlink.expose(this.#hostOf(this.index, life.signal), nodeEndpoint(channel.port1))
    let failure: Error | null = null
    // What is thrown need not be an Error.
    worker.on('error', (thrown: unknown) => {
      failure = thrown instanceof Error ? thrown : new Error(`it threw ${String(thrown)}`)
    })
    worker.once('exit', () => {
      this.#worker = null
      life.abort()
      channel.port1.close()
      this.#control?.[Comlink.releaseProxy]()
      this.#control = null
      for (const giveUp of this.#calls) giveUp()
      onExit(failure ?? (this.#endedBecause === null ? null : new Error(this.#endedBecause)))
    })
    this.#worker = worker
    this.#control = Comlink.wrap<OwnerControl>(nodeEndpoint(worker))
  }

  /** Queues a command; it becomes visible to the owner with `publish`. */
  send(command: Command): void {
    if (this.#overflow.length > 0 || !this.#tryClaim(command)) {
      this.#overflow.push({ ...command })
    }
  }

  /** A command was answered: one from the overflow may take its place. */
  answered(): void {
    this.outstanding--
    const next = this.#overflow[0]
    if (next !== undefined && this.#tryClaim(next)) this.#overflow.shift()
  }

  /** Makes queued commands visible and wakes the owner if it sleeps; true when it did. */
  publish(): boolean {
    if (this.#unpublished === 0) return false
    this.#unpublished = 0
    this.#commands?.publish()
    return this.#doorbell?.ring() ?? false
  }

  /** Forgets everything queued at a dead incarnation. */
  reset(): void {
    this.#overflow = []
    this.#unpublished = 0
    this.outstanding = 0
  }

  /** What the watchdog looks at; null when the thread is not running. `activeMs`: its event loop was not idle. */
  signs(): { beats: number; isInCall: boolean; activeMs: number } | null {
    if (this.#worker === null || this.#pulse === null) return null
    const { beats, isInCall } = this.#pulse
    return { beats, isInCall, activeMs: this.#worker.performance.eventLoopUtilization().active }
  }

  /** Ends the thread at once, as a crash would. @param reason what its exit is explained with */
  async terminate(reason: string | null = null): Promise<void> {
    this.#endedBecause = reason
    await this.#worker?.terminate()
  }

  #tryClaim(command: Command): boolean {
    const ring = this.#commands
    if (ring === null || this.outstanding >= outstandingMax) return false
    const at = ring.claim()
    if (at === -1) return false
    writeCommand(ring.words, at, command)
    this.outstanding++
    this.#unpublished++
    return true
  }
}
