/**
 * mini-loom: runs a few model threads (generators that yield at every Atomics call) in every possible order
 * and looks for an order that breaks a rule: a failed assertion, a plain access not ordered against another
 * thread's (a data race, found by vector clocks), or threads that wait for each other for ever (a lost
 * wake-up). Threads named as killable may also stop for good before any of their steps.
 *
 * JavaScript promises one total order of all Atomics calls, and that programs without data races behave as
 * if plain accesses were part of it. So switching only at Atomics calls and checking for races covers
 * everything a real machine may do.
 *
 * A path is a list of choices and is run again from its start; a state (memory, clocks, and all values each
 * thread ever saw) that was met before is not explored twice.
 */
import assert from 'node:assert'
import { hash } from 'node:crypto'
import {
  type Agent,
  type AtomicStep,
  type Clock,
  execution,
  join,
  ModelError,
  type ModelMemory,
  type ModelPromise,
  performAtomic,
} from './model-memory.ts'

/** What a model thread asks of the scheduler: an Atomics call, to wait for a promise, a death, or to
 *  disturb a sleeper. */
export type ModelStep =
  | AtomicStep
  | { readonly op: 'await'; readonly promise: ModelPromise }
  | { readonly op: 'joinThread'; readonly thread: number }
  | { readonly op: 'event'; readonly thread: number }

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

class ModelThread implements Agent {
  readonly script: Script
  readonly index: number
  step: ModelStep | null = null
  dead = false
  events = 0
  readonly clock: Clock
  /** Every value this thread saw: with its program it tells its whole private state. */
  seen = ''

  constructor(script: Script, index: number, count: number) {
    this.script = script
    this.index = index
    this.clock = Array.from({ length: count }, (_, at) => (at === index ? 1 : 0))
  }
}

/** Gives the thread what its step answered and runs it up to its next one. */
function resume(thread: ModelThread, result: unknown): void {
  thread.seen += `${isWaiting(result) ? `waits ${result.async}` : String(result)},`
  execution.running = thread
  const next = thread.script.next(result)
  execution.running = null
  thread.step = next.done ? null : next.value
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
    resume(thread, 'event')
  } else if (step.op === 'await') {
    step.promise.settle()
    resume(thread, 'rung')
  } else if (step.op === 'joinThread') {
    join(thread.clock, world.threads[step.thread].clock)
    resume(thread, 'joined')
  } else if (step.op === 'event') {
    world.threads[step.thread].events++
    resume(thread, 'sent')
  } else {
    resume(thread, performAtomic(step, thread))
  }
}

function stateKey(world: World): string {
  const cells = world.memories.map(memory => memory.cells.map(cell => cell.key()).join())
  const threads = world.threads.map(({ seen, clock, dead, events, step }) => {
    const rung = step?.op === 'await' && step.promise.resolved
    return `${seen}|${clock.join()}|${dead}|${events}|${rung}`
  })
  return hash('sha1', `${cells.join('#')}##${threads.join('#')}`, 'base64')
}

function start(build: () => Model): { world: World; model: Model } {
  const world: World = { memories: [], threads: [], killed: -1 }
  execution.memories = world.memories
  const model = build()
  for (const { cells } of world.memories) {
    for (const cell of cells) if (cell.storeThread >= 0) cell.settle()
  }
  world.threads = model.threads.map((script, at) => {
    return new ModelThread(script, at, model.threads.length)
  })
  for (const thread of world.threads) resume(thread, undefined)
  return { world, model }
}

function describe(world: World, choice: Choice): string {
  const { step } = world.threads[choice.thread]
  const detail = step !== null && 'args' in step ? `${step.args[1]} ${step.args[2] ?? ''}` : ''
  const name = choice.how === 'step' ? `${step?.op} ${detail}` : choice.how
  return `thread ${choice.thread}: ${name.trim()}`
}

/** At the end nobody can move: each thread must have finished, unless one died and others wait for it. */
function checkEnd(world: World, model: Model): void {
  const stuck = world.threads.filter(thread => thread.step !== null && !thread.dead)
  if (world.killed < 0 && stuck.length > 0) {
    throw new ModelError(`lost wake-up: threads ${stuck.map(t => t.index).join()} sleep for ever`)
  }
  model.check?.(world.killed)
}

/** A run longer than this spins: every model here ends by itself, or sleeps. */
const STEPS_MAX = 150

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
        if (open.every(choice => choice.how === 'kill')) checkEnd(world, model)
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
      execution.memories = null
      execution.running = null
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
    next = call.next(performAtomic(next.value, thread))
  }
  return next.value
}
