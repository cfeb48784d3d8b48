/** A disk without a single free byte: retention makes room all the same, DeleteRecords answers, nothing hangs. */
import { closeSync, openSync, readdirSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import type { DeletedRecords } from '../../src/contracts/control.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { realDisk } from '../../workers/disk.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import { newAppendResult } from '../../workers/log/results.ts'
import { smallDisk } from '../support/small-disk.ts'
import { baseConfig, makeBatch, topicId } from './log-kit.ts'

function fillUp(directory: string): void {
  const file = openSync(join(directory, 'filler'), 'w')
  try {
    for (let size = 65_536; size >= 1; ) {
      try {
        if (writeSync(file, Buffer.alloc(size)) < size) size >>= 1
      } catch {
        size >>= 1
      }
    }
  } finally {
    closeSync(file)
  }
  expect(statfsSync(directory).bfree).toBe(0)
}

function opened(path: string, config = {}): { log: PartitionLog; failures: Error[] } {
  const failures: Error[] = []
  const rest = { generation: 1, recover: false, verdict: null, recoveryPoint: 0 }
  const log = PartitionLog.open({
    spec: {
      ...{ topic: 't', topicId, partition: 0, slot: 0, directory: join(path, 't-0') },
      config: { ...baseConfig, segmentBytesMax: 40_000, ...config },
      ...{ ...rest, copyForward: false, flushedOffset: -1 },
    },
    env: { disk: realDisk, clock: systemClock },
    onAdvance() {},
    onFailure: (_, error) => failures.push(error),
  })
  return { log, failures }
}

async function written(log: PartitionLog, batches: number): Promise<void> {
  const result = newAppendResult()
  for (let mark = 0; mark < batches; mark++) {
    log.stage(makeBatch({ mark, valueBytes: 2_000 }), 9, result)
    expect(log.commit()).toBe(Errors.NONE)
    await log.settled()
  }
}

test('retention frees room: the indexes of what goes make some for the mark', async context => {
  const path = await smallDisk(context, { sizeMiB: 1 })
  const { log, failures } = opened(path)
  await written(log, 100)
  const before = log.segments.length
  fillUp(path)
  log.applyConfig({ ...log.config, retentionBytes: 80_000 })
  for (let passes = 0; passes < 5; passes++) {
    log.retention.pass(true)
    await log.settled()
  }
  expect(failures).toEqual([])
  expect(log.offsets.logStart).toBeGreaterThan(0)
  expect(log.segments.length).toBeLessThan(before)
  expect(statfsSync(path).bfree * statfsSync(path).bsize).toBeGreaterThan(60_000)
  log.close({ clean: false })
})

test('DeleteRecords inside the active segment is refused, and works once there is room', async context => {
  const path = await smallDisk(context, { sizeMiB: 1 })
  const { log, failures } = opened(path)
  await written(log, 10)
  fillUp(path)
  const deleted = async (): Promise<DeletedRecords | undefined> => {
    let answer: DeletedRecords | undefined
    log.retention.deleteRecords(5, result => {
      answer = result
    })
    await log.settled()
    return answer
  }
  expect((await deleted())?.error).toBe(Errors.KAFKA_STORAGE_ERROR)
  expect(log.offsets.logStart).toBe(0)
  realDisk.unlink(join(path, 'filler'))
  expect(await deleted()).toEqual({ error: Errors.NONE, logStartOffset: 5 })
  expect(failures).toEqual([])
  expect(readdirSync(join(path, 't-0'))).toContain('log-marks')
  log.close({ clean: false })
})
