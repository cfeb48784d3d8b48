/**
 * mini-loom: runs a few model threads (generators that yield at every Atomics call) in every possible order and looks for
 * an order that breaks a rule: a failed assertion, a plain access not ordered against another thread's (a data race, found
 * by vector clocks), or threads that wait for each other for ever (a lost wake-up). Threads named as killable may also stop
 * for good before any of their steps.
 *
 * JavaScript promises one total order of all Atomics calls, and that programs without data races behave as if plain accesses
 * were part of it. So switching only at Atomics calls and checking for races covers everything a real machine may do.
 *
 * A path is a list of choices and is run again from its start; a state (memory, clocks, and all values each thread ever saw)
 * that was met before is not explored twice.
 */
import assert from 'node:assert'
import { hash } from 'node:crypto'

/** What a model thread asks of the scheduler: an Atomics call, to wait for a promise, a death, or to disturb a sleeper. */
export type ModelStep =
  | { readonly op: AtomicOp; readonly args: readonly [ModelWords, number, number?, number?] }
  | { readonly op: 'await'; readonly promise: ModelPromise }
  | { readonly op: 'joinThread'; readonly thread: number }
  | { readonly op: 'event'; readonly thread: number }

type AtomicOp = 'load' | 'store' | 'exchange' | 'notify' | 'waitAsync'
type Clock = number[]

/** A model thread's program; assertions inside it are the properties. */
export type Script = Generator<ModelStep, void, unknown>

export interface Model {
  readonly threads: readonly Script[]
  /** Indexes of threads that may die before any of their steps (at most one dies in a run). */
  readonly killable?: readonly number[]
  /** Called at the end of every run. `killed` is the thread that died, or -1. */
  check?(killed: number): void
}

export interface Explored {
  /** Distinct states met, and runs that came to an end. */
  readonly states: number
  readonly ends: number
}

/** A broken rule, with the order of steps that broke it. */
export class ModelError extends Error {}

/** One SharedArrayBuffer of the model. */
export class ModelMemory {
  readonly cells: Cell[]

  constructor(bytes: number) {
    this.cells = Array.from({ length: bytes / 4 }, () => new Cell())
    current?.memories.push(this)
  }
}

class Cell {
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
      const plain = `${this.writeThread}@${this.writeTime}:${this.readTimes}`
      this.#key = `${this.value}/${this.released}/${plain}/${this.waiters.length}`
    }
    return this.#key
  }
}

/** What Atomics.waitAsync and Promise.resolve give in the model: callbacks run when the sleeper's event loop turns. */
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

class ModelThread {
  readonly script: Script
  readonly index: number
  step: ModelStep | null = null
  dead = false
  events = 0
  clock: Clock
  /** Every value this thread saw: with its program it tells its whole private state. */
  seen = ''

  constructor(script: Script, index: number, count: number) {
    this.script = script
    this.index = index
    this.clock = Array.from({ length: count }, (_, at) => (at === index ? 1 : 0))
  }

  resume(result: unknown): void {
    this.seen += `${isWaiting(result) ? `waits ${result.async}` : result},`
    running = this
    const next = this.script.next(result)
    running = null
    this.step = next.done ? null : next.value
  }
}

function isWaiting(result: unknown): result is { async: boolean } {
  return typeof result === 'object' && result !== null && 'async' in result
}

interface World {
  readonly memories: ModelMemory[]
  threads: ModelThread[]
  killed: number
}

interface Choice {
  readonly thread: number
  readonly how: 'step' | 'event' | 'kill'
}

// The run under way; model text reaches it through the stand-ins for Int32Array and Atomics.
let current: World | null = null
let running: ModelThread | null = null

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
  const thread = running
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
function ordered(other: number, time: number, thread: ModelThread, what: string): void {
  if (other < 0 || other === thread.index) return
  if (time > thread.clock[other]) throw new ModelError(`data race: ${what} of thread ${other}`)
}

function join(into: Clock, from: Clock): void {
  from.forEach((time, at) => {
    into[at] = Math.max(into[at] ?? 0, time)
  })
}

function orderedAfterReads(cell: Cell, thread: ModelThread): void {
  cell.readTimes.forEach((time, reader) => {
    ordered(reader, time, thread, 'write after a plain read')
  })
}

/** Atomics as constructors use it, before the threads start. */
export const directAtomics = {
  load: (words: ModelWords, at: number) => words.cells[at].value,
}

function performAtomic(step: ModelStep & { op: AtomicOp }, thread: ModelThread): unknown {
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

function choices(world: World, killable: readonly number[]): Choice[] {
  const found: Choice[] = []
  for (const thread of world.threads) {
    const { step, index } = thread
    if (step === null || thread.dead) continue
    if (step.op === 'await') {
      if (step.promise.resolved) found.push({ thread: index, how: 'step' })
      if (thread.events > 0) found.push({ thread: index, how: 'event' })
    } else if (step.op === 'joinThread') {
      const other = world.threads[step.thread]
      if (other.dead || other.step === null) found.push({ thread: index, how: 'step' })
    } else {
      found.push({ thread: index, how: 'step' })
    }
    if (world.killed < 0 && killable.includes(index)) found.push({ thread: index, how: 'kill' })
  }
  return found
}

function apply(world: World, choice: Choice): void {
  const thread = world.threads[choice.thread]
  const step = thread.step
  assert(step !== null)
  if (choice.how === 'kill') {
    thread.dead = true
    world.killed = choice.thread
    return
  }
  if (choice.how === 'event') {
    thread.events--
    thread.resume('event')
  } else if (step.op === 'await') {
    step.promise.settle()
    thread.resume('rung')
  } else if (step.op === 'joinThread') {
    join(thread.clock, world.threads[step.thread].clock)
    thread.resume('joined')
  } else if (step.op === 'event') {
    world.threads[step.thread].events++
    thread.resume('sent')
  } else {
    thread.resume(performAtomic(step, thread))
  }
}

function stateKey(world: World): string {
  const cells = world.memories.map(memory => memory.cells.map(cell => cell.key()).join())
  const threads = world.threads.map(({ seen, clock, dead, events, step }) => {
    const rung = step?.op === 'await' && step.promise.resolved
    return `${seen}|${clock}|${dead}|${events}|${rung}`
  })
  return hash('sha1', `${cells.join('#')}##${threads.join('#')}`, 'base64')
}

function start(build: () => Model): { world: World; model: Model } {
  const world: World = { memories: [], threads: [], killed: -1 }
  current = world
  const model = build()
  for (const { cells } of world.memories) {
    for (const cell of cells) if (cell.storeThread >= 0) cell.settle()
  }
  world.threads = model.threads.map((script, at) => {
    return new ModelThread(script, at, model.threads.length)
  })
  for (const thread of world.threads) thread.resume(undefined)
  return { world, model }
}

function describe(world: World, choice: Choice): string {
  const { step } = world.threads[choice.thread]
  const detail = step !== null && 'args' in step ? `${step.args.slice(1).join(' ')}` : ''
  const name = choice.how === 'step' ? `${step?.op} ${detail}` : choice.how
  return `thread ${choice.thread}: ${name.trim()}`
}

/** At the end nobody can move: each thread must have finished, unless one died and others wait for it. */
function checkEnd(world: World, model: Model): void {
  const stuck = world.threads.filter(thread => thread.step !== null && !thread.dead)
  if (world.killed < 0 && stuck.length > 0) {
    throw new ModelError(`lost wake-up: threads ${stuck.map(t => t.index)} sleep for ever`)
  }
  model.check?.(world.killed)
}

/** A run longer than this spins: every model here ends by itself, or sleeps. */
const STEPS_MAX = 400

/** Runs the model in every order. Throws a ModelError with the order of steps when a rule breaks. */
export function explore(build: () => Model, statesMax = 300_000): Explored {
  const visited = new Set<string>()
  const pending: Choice[][] = [[]]
  let ends = 0
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const trace: string[] = []
    try {
      const { world, model } = start(build)
      for (const choice of path) {
        trace.push(describe(world, choice))
        apply(world, choice)
      }
      for (;;) {
        const key = stateKey(world)
        if (visited.has(key)) break
        visited.add(key)
        assert(visited.size <= statesMax, 'this model is too large to run in every order')
        const open = choices(world, model.killable ?? [])
        if (open.length === 0 || open.every(choice => choice.how === 'kill')) checkEnd(world, model)
        if (open.length === 0) {
          ends++
          break
        }
        for (const choice of open.slice(1)) pending.push([...path, choice])
        assert(path.length < STEPS_MAX, 'this run does not end')
        path = [...path, open[0]]
        trace.push(describe(world, open[0]))
        apply(world, open[0])
      }
    } catch (error) {
      throw new ModelError(`${(error as Error).message}\n  ${trace.join('\n  ')}`, { cause: error })
    } finally {
      current = null
      running = null
    }
  }
  return { states: visited.size, ends }
}

/** Runs one modelled call to its end on its own: for the conformance tests. */
export function runAlone<R>(call: Generator<ModelStep, R, unknown>): R {
  const thread = new ModelThread(call as unknown as Script, 0, 1)
  let next = call.next()
  while (!next.done) {
    assert('args' in next.value)
    next = call.next(performAtomic(next.value as ModelStep & { op: AtomicOp }, thread))
  }
  return next.value
}
