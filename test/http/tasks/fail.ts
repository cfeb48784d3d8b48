/** A task for the pool's tests: says that it runs, then fails in the way it is told. */
export interface FailInput {
  readonly how: 'throw' | 'exit' | 'heap' | 'hang' | 'later'
  /** Word 0 becomes 1 when the task runs. */
  readonly running?: SharedArrayBuffer
}

export default async function fail({ how, running }: FailInput): Promise<never> {
  if (running) {
    Atomics.store(new Int32Array(running), 0, 1)
    Atomics.notify(new Int32Array(running), 0)
  }
  if (how === 'throw') throw new RangeError('thrown by the task')
  if (how === 'exit') process.exit(7)
  if (how === 'later') {
    // Outside of the call: nobody awaits this error.
    setImmediate(() => {
      throw new Error('thrown outside of the task')
    })
  }
  const kept: string[][] = []
  while (how === 'heap') kept.push(Array.from({ length: 10_000 }, (_, i) => `${kept.length}.${i}`))
  const { promise } = Promise.withResolvers<never>()
  const alive = setInterval(() => kept.length, 1000)
  return await promise.finally(() => clearInterval(alive))
}
