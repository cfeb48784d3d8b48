/**
 * Shared memory as mini-loom sees it: words with their history, so that each access can be checked. Every
 * Atomics store hands the storing thread's vector clock to the loads that see it; a plain access must come
 * after every conflicting access of other threads by these clocks, whatever order this run happened to take.
 */
import assert from 'node:assert'

export type AtomicOp = 'load' | 'store' | 'exchange' | 'notify' | 'waitAsync'
export type Clock = number[]

/** One Atomics call that a model thread asks for. */
export interface AtomicStep {
  readonly op: AtomicOp
  readonly args: readonly [ModelWords, number, number?, number?]
}

/** What memory needs to know of a thread: who, when, and a place to note what it saw. */
export interface Agent {
  readonly index: number
  readonly clock: Clock
  seen: string
}

/** The run under way: model text reaches it through the stand-ins for Int32Array and Atomics. Null outside
 *  of one, and while a run is set up: then nothing is checked. */
export const execution: { memories: ModelMemory[] | null; running: Agent | null } = {
  memories: null,
  running: null,
}

/** A broken rule, with the order of steps that broke it. */
export class ModelError extends Error {}

/** One SharedArrayBuffer of the model. */
export class ModelMemory {
  readonly cells: Cell[]

  constructor(bytes: number) {
    this.cells = Array.from({ length: bytes / 4 }, () => new Cell())
    execution.memories?.push(this)
  }
}

export class Cell {
  value = 0
  /** Clock of the last Atomics store: an Atomics load that sees it is ordered after it. */
  released: Clock = []
  /** Last plain write and plain reads, as (thread, time) and per thread times. */
  writeThread = -1
  writeTime = 0
  readTimes: Clock = []
  /** The last Atomics store likewise: plain accesses of other threads must come after it. */
  storeThread = -1
  storeTime = 0
  waiters: ModelPromise[] = []

  /** All of the above as text; '' until a thread touched the cell, and again after each touch. */
  #key = ''
  #touched = false

  /** What was done before the threads start comes before everything: nobody's access can race with it. */
  settle(): void {
    this.storeThread = -1
    this.released = []
    this.touch()
  }

  touch(): void {
    this.#touched = true
    this.#key = ''
  }

  key(): string {
    if (this.#touched && this.#key === '') {
      const plain = `${this.writeThread}@${this.writeTime}:${this.readTimes.join()}`
      this.#key = `${this.value}/${this.released.join()}/${plain}/${this.waiters.length}`
    }
    return this.#key
  }
}

/** What Atomics.waitAsync and Promise.resolve give in the model: callbacks run when the sleeper's event
 *  loop turns. */
export class ModelPromise {
  resolved = false
  readonly #callbacks: (() => void)[] = []

  /** Promise's then, under a name that no `await` of the test's own can pick up by accident. */
  whenSettled(callback: () => void): this {
    this.#callbacks.push(callback)
    return this
  }

  settle(): void {
    for (const callback of this.#callbacks.splice(0)) callback()
  }
}

export function resolvedModelPromise(): ModelPromise {
  const promise = new ModelPromise()
  promise.resolved = true
  return promise
}

/** A typed array over model memory; plain reads and writes through it are checked for races. */
export interface ModelWords {
  [index: number]: number
  readonly length: number
  readonly cells: readonly Cell[]
}

/** Stands in for `new Int32Array(buffer, byteOffset, length)`. */
export const modelInt32Array = Object.assign(
  function modelInt32Array(memory: ModelMemory, byteOffset = 0, length?: number): ModelWords {
    const start = byteOffset / 4
    const cells = memory.cells.slice(start, length === undefined ? undefined : start + length)
    return new Proxy({ cells, length: cells.length } as ModelWords, {
      get: (target, key) =>
        isIndex(key) ? plainRead(target.cells[Number(key)]) : Reflect.get(target, key),
      set: (target, key, value) => plainWrite(target.cells[Number(key)], value),
    })
  },
  { BYTES_PER_ELEMENT: 4 },
)

function isIndex(key: string | symbol): boolean {
  return typeof key === 'string' && /^\d+$/.test(key)
}

function plainRead(cell: Cell): number {
  const { running } = execution
  if (running !== null) {
    ordered(cell.writeThread, cell.writeTime, running, 'plain read after a write')
    ordered(cell.storeThread, cell.storeTime, running, 'plain read after a store')
    cell.readTimes[running.index] = running.clock[running.index]
    running.seen += `${cell.value};`
    cell.touch()
  }
  return cell.value
}

function plainWrite(cell: Cell, value: number): boolean {
  const thread = execution.running
  if (thread !== null) {
    ordered(cell.writeThread, cell.writeTime, thread, 'plain write after a write')
    ordered(cell.storeThread, cell.storeTime, thread, 'plain write after a store')
    orderedAfterReads(cell, thread)
    cell.writeThread = thread.index
    cell.writeTime = thread.clock[thread.index]
  }
  cell.value = value | 0
  cell.touch()
  return true
}

/** An access at `time` of thread `other` must come before all that `thread` does now. */
function ordered(other: number, time: number, thread: Agent, what: string): void {
  if (other < 0 || other === thread.index) return
  if (time > thread.clock[other]) throw new ModelError(`data race: ${what} of thread ${other}`)
}

export function join(into: Clock, from: Clock): void {
  from.forEach((time, at) => {
    into[at] = Math.max(into[at] ?? 0, time)
  })
}

function orderedAfterReads(cell: Cell, thread: Agent): void {
  cell.readTimes.forEach((time, reader) => {
    ordered(reader, time, thread, 'write after a plain read')
  })
}

/** Atomics as constructors use it, before the threads start. */
export const directAtomics = {
  load: (words: ModelWords, at: number) => words.cells[at].value,
}

/** Does one Atomics call for `thread`; what it answers. */
export function performAtomic(step: AtomicStep, thread: Agent): unknown {
  const [words, at, value = 0] = step.args
  const cell = words.cells[at]
  assert(cell !== undefined, `no word ${at}`)
  const before = cell.value
  if (step.op !== 'load') cell.touch()
  ordered(cell.writeThread, cell.writeTime, thread, 'Atomics call after a plain write')
  if (step.op !== 'store') join(thread.clock, cell.released)
  if (step.op === 'store' || step.op === 'exchange') {
    orderedAfterReads(cell, thread)
    cell.storeThread = thread.index
    cell.storeTime = thread.clock[thread.index]
    cell.value = value | 0
    cell.released = [...thread.clock]
    thread.clock[thread.index]++
  }
  if (step.op === 'notify') {
    const woken = cell.waiters.splice(0, value)
    for (const waiter of woken) waiter.resolved = true
    return woken.length
  }
  if (step.op === 'waitAsync') {
    if (before !== value) return { async: false, value: 'not-equal' }
    const promise = new ModelPromise()
    cell.waiters.push(promise)
    return { async: true, value: promise }
  }
  return step.op === 'store' ? value : before
}
