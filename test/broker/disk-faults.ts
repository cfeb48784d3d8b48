/** The test's side of break-disk.ts: rules in shared memory, seen by owner threads at their next call. */
import { setEnvironmentData } from 'node:worker_threads'
import { afterAll, afterEach } from 'vitest'
import { diskFaultMemory, type FaultRule, LENGTH, rulesStart, VERSION } from './break-disk.ts'

export type { FaultRule } from './break-disk.ts'

const rulesBytesMax = 64 * 1024

/** Options of owner threads that meet the rules. */
export const faultyOwners = {
  execArgv: ['--import', new URL('./break-disk.ts', import.meta.url).href],
}

/** @returns a function that sets the rules; they are cleared after every test of the file. */
export function diskFaults(): (rules: readonly FaultRule[]) => void {
  const memory = new SharedArrayBuffer(rulesStart + rulesBytesMax)
  setEnvironmentData(diskFaultMemory, memory)
  const head = new Int32Array(memory, 0, 2)
  const set = (rules: readonly FaultRule[]): void => {
    const text = Buffer.from(JSON.stringify(rules))
    Buffer.from(memory, rulesStart).set(text)
    Atomics.store(head, LENGTH, text.length)
    Atomics.add(head, VERSION, 1)
  }
  set([])
  afterEach(() => set([]))
  afterAll(() => setEnvironmentData(diskFaultMemory, undefined))
  return set
}
