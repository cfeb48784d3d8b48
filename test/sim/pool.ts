/** Seeds over several processes: each takes the next seed when it is done with one. */
import { type ChildProcess, fork } from 'node:child_process'
import { join } from 'node:path'
import type { Order } from './child.ts'
import type { SeedResult } from './run-seed.ts'

export interface PoolOptions {
  readonly jobs: number
  readonly plant?: string
  /** A seed that takes longer hangs: it counts as failed. Real milliseconds. */
  readonly seedMsMax?: number
  /** Called for each result, in the order in which they come; true ends the run. */
  onResult(result: SeedResult): boolean
}

const seedMsMaxDefault = 120_000

/** Runs the orders; resolves when all are done, or `onResult` has enough. */
export async function runOrders(orders: readonly Order[], options: PoolOptions): Promise<void> {
  const state = { next: 0, isEnough: false }
  const jobs = Math.min(options.jobs, orders.length)
  const workers = Array.from({ length: jobs }, () => work(orders, state, options))
  await Promise.all(workers)
}

async function work(
  orders: readonly Order[],
  state: { next: number; isEnough: boolean },
  options: PoolOptions,
): Promise<void> {
  let child: ChildProcess | null = null
  try {
    while (!state.isEnough && state.next < orders.length) {
      const order = orders[state.next++] as Order
      child ??= await start(options.plant)
      const result = await one(child, order, options.seedMsMax ?? seedMsMaxDefault)
      if (result.events < 0) {
        child.kill('SIGKILL')
        child = null
      }
      if (!state.isEnough && options.onResult(result)) state.isEnough = true
    }
  } finally {
    child?.kill('SIGKILL')
  }
}

function start(plant: string | undefined): Promise<ChildProcess> {
  const env = { ...process.env }
  if (plant !== undefined) env.SIM_PLANT = plant
  const child = fork(join(import.meta.dirname, 'child.ts'), { env, stdio: ['ignore', 2, 2, 'ipc'] })
  return new Promise((resolve, reject) => {
    child.once('message', () => {
      child.removeAllListeners('exit')
      resolve(child)
    })
    child.once('exit', code => reject(new Error(`the simulation's process ended with ${code}`)))
  })
}

function one(child: ChildProcess, order: Order, msMax: number): Promise<SeedResult> {
  return new Promise(resolve => {
    const finish = (result: SeedResult): void => {
      clearTimeout(timer)
      child.removeAllListeners('message')
      child.removeAllListeners('exit')
      resolve(result)
    }
    const timer = setTimeout(() => finish(broken(order, 'does not come to an end')), msMax)
    child.on('message', (result: SeedResult) => finish(result))
    child.on('exit', code => finish(broken(order, `ended its process with ${code}`)))
    child.send(order)
  })
}

function broken({ seed }: Order, detail: string): SeedResult {
  return { seed, anomaly: 'crash', detail, hash: 0, events: -1, counts: {}, trace: [] }
}
