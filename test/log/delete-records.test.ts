/** DeleteRecords on one log: durable before it is answered, anywhere in the log; what it refuses (RELIABILITY P6). */
import { expect, test } from 'vitest'
import type { DeletedRecords } from '../../src/contracts/control.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { seeded } from '../support/fault-disk.ts'
import { LogHarness, makeBatch } from './log-kit.ts'
import { bases, deleteRecords, filled, pass, twoEach } from './retention-kit.ts'

test('in the middle of a segment, even of a batch', () => {
  const kit = new LogHarness().open()
  kit.append(makeBatch({ records: 3 }), makeBatch({ records: 3 }))
  kit.settle()
  expect(deleteRecords(kit, 4)).toBe(undefined)
  expect(kit.log.offsets.logStart).toBe(0)
  let answer: DeletedRecords | undefined
  kit.log.retention.deleteRecords(4, result => {
    answer = result
  })
  const { advances } = kit
  kit.settle()
  expect(answer).toEqual({ error: Errors.NONE, logStartOffset: 4 })
  expect(kit.advances).toBe(advances + 1)
  expect(() => kit.read(3)).toThrow(expect.objectContaining({ error: Errors.OFFSET_OUT_OF_RANGE }))
  // Whole batches are served; the client skips the first records of this one.
  expect(kit.readAll()).toHaveLength(1)
  kit.closeClean()
  kit.open()
  expect(kit.log.offsets).toMatchObject({ logStart: 4, logEnd: 6 })
})

test('is answered when the mark is durable, not before', () => {
  const kit = filled({}, 3)
  const answers: DeletedRecords[] = []
  kit.log.retention.deleteRecords(2, result => answers.push(result))
  kit.disk.completeSyncs(1)
  expect(answers).toEqual([])
  kit.disk.completeSyncs(1)
  expect(answers).toEqual([{ error: Errors.NONE, logStartOffset: 2 }])
  kit.disk.powerCut(seeded(1))
  kit.open({ recover: true })
  expect(kit.log.offsets.logStart).toBe(2)
})

test('-1 is the high watermark; then the active segment goes as well', () => {
  const kit = filled({}, 3)
  kit.append(makeBatch())
  expect(kit.log.offsets).toMatchObject({ highWatermark: 3, logEnd: 4 })
  deleteRecords(kit, -1)
  kit.settle()
  expect(kit.log.offsets.logStart).toBe(3)
  deleteRecords(kit, -1)
  kit.settle()
  pass(kit)
  pass(kit)
  expect(bases(kit)).toEqual([4])
  expect(kit.log.offsets).toMatchObject({ logStart: 4, logEnd: 4 })
})

test('what is not there', () => {
  const kit = filled({}, 3)
  const outOfRange = { error: Errors.OFFSET_OUT_OF_RANGE, logStartOffset: -1 }
  expect(deleteRecords(kit, 4)).toEqual(outOfRange)
  expect(deleteRecords(kit, -2)).toEqual(outOfRange)
  expect(deleteRecords(kit, 0)).toEqual({ error: Errors.NONE, logStartOffset: 0 })
  deleteRecords(kit, 3)
  kit.settle()
  const { operations } = kit.disk
  expect(deleteRecords(kit, 1)).toEqual({ error: Errors.NONE, logStartOffset: 3 })
  expect(kit.disk.operations).toBe(operations)
})

test('refused on a topic that is only compacted', () => {
  const kit = filled({}, 3)
  kit.log.applyConfig({ ...kit.log.config, cleanupDelete: false, cleanupCompact: true })
  expect(deleteRecords(kit, 1)?.error).toBe(Errors.POLICY_VIOLATION)
})

test('a failed sync: answered with an error, log offline, nothing removed', () => {
  const kit = filled({}, 9)
  kit.disk.onOperation = ({ kind }) => (kind === 'sync' ? { code: 'EIO' } : null)
  let answer: DeletedRecords | undefined
  kit.log.retention.deleteRecords(6, result => {
    answer = result
  })
  kit.settle()
  expect(answer?.error).toBe(Errors.KAFKA_STORAGE_ERROR)
  expect(kit.log.state).toBe('offline')
  expect(kit.failures).toHaveLength(1)
  expect(kit.log.offsets.logStart).toBe(0)
  expect(bases(kit)).toHaveLength(5)
  expect(deleteRecords(kit, 1)?.error).toBe(Errors.KAFKA_STORAGE_ERROR)
  expect(kit.readAll()).toHaveLength(9)
})

test('closed meanwhile: answered with an error', async () => {
  const kit = filled({}, 3)
  let answer: DeletedRecords | undefined
  kit.log.retention.deleteRecords(2, result => {
    answer = result
  })
  kit.log.close({ clean: false })
  expect(answer?.error).toBe(Errors.KAFKA_STORAGE_ERROR)
  kit.settle()
  kit.open({ recover: true })
  expect(kit.log.offsets.logStart).toBe(0)
})

test('find by time and the largest timestamp look no further back', () => {
  const kit = new LogHarness({ ...twoEach, indexIntervalBytes: 1 }).open()
  for (const timestampMs of [90, 80, 10, 20, 70, 30]) kit.append(makeBatch({ timestampMs }))
  kit.settle()
  deleteRecords(kit, 3)
  kit.settle()
  expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(4)
  expect(kit.log.findByTime(75)).toBe(null)
  expect(kit.log.findByTime(5)?.baseOffset).toBe(3)
})

test('a batch that the log start is in the middle of can be left out of a search', () => {
  const kit = new LogHarness().open()
  kit.append(makeBatch({ records: 3, timestampMs: 50 }), makeBatch({ timestampMs: 40 }))
  kit.settle()
  deleteRecords(kit, 1)
  kit.settle()
  expect(kit.log.findByTime(30)?.baseOffset).toBe(0)
  expect(kit.log.findByTime(30, 1, true)?.baseOffset).toBe(3)
  expect(kit.log.findMaxTimestamp()?.baseOffset).toBe(0)
  expect(kit.log.findMaxTimestamp(true)?.baseOffset).toBe(3)
})
