/** What the tests of retention share: logs of many small segments, and passes that go through to the end. */
import type { DeletedRecords } from '../../src/contracts/control.ts'
import type { LogConfig } from '../../src/contracts/log-config.ts'
import { LogHarness, makeBatch } from './log-kit.ts'

/** Segments of two batches of one record each; sealed ones begin at 0, 2, 4, ... */
export const twoEach: Partial<LogConfig> = { segmentBytesMax: 200 }

export function filled(config: Partial<LogConfig>, batches: number): LogHarness {
  const kit = new LogHarness({ ...twoEach, ...config }).open()
  for (let mark = 0; mark < batches; mark++) kit.append(makeBatch({ mark }))
  kit.settle()
  return kit
}

export function bases(kit: LogHarness): number[] {
  return kit
    .names()
    .filter(name => name.endsWith('.log'))
    .map(name => Number(name.slice(0, 20)))
}

export function pass(kit: LogHarness, isClockTrusted = true): void {
  let isMore = kit.log.retention.pass(isClockTrusted)
  kit.settle()
  for (let sweeps = 0; isMore && sweeps < 10; sweeps++) {
    isMore = kit.log.retention.sweep()
    kit.settle()
  }
}

export function deleteRecords(kit: LogHarness, beforeOffset: number): DeletedRecords | undefined {
  let result: DeletedRecords | undefined
  kit.log.retention.deleteRecords(beforeOffset, answer => {
    result = answer
  })
  return result
}
