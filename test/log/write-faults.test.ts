import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import type { Fault, Operation } from '../support/fault-disk.ts'
import { expectSame, LogHarness, makeBatch } from './log-kit.ts'

const producerId = 77

/** Only the records' files fail. */
function onLogFile(fault: (operation: Operation) => Fault): (operation: Operation) => Fault {
  return operation => (operation.path.endsWith('.log') ? fault(operation) : null)
}

describe('writes', () => {
  test.each([1, 7, 150, 172, 173, 400])('writes cut to %i bytes go on until all is in', short => {
    const kit = new LogHarness().open()
    kit.disk.onOperation = onLogFile(({ kind }) => (kind === 'write' ? { short } : null))
    const batches = [1, 2, 3].map(mark => makeBatch({ mark, valueBytes: 100 }))
    kit.append(batches[0])
    kit.append(batches[1], batches[2])
    kit.disk.onOperation = () => null
    kit.settle()
    expectSame(kit.readAll(), batches)
  })

  test('short reads are continued too', () => {
    const kit = new LogHarness().open()
    const batches = [1, 2, 3].map(mark => makeBatch({ mark, valueBytes: 100 }))
    kit.append(...batches)
    kit.settle()
    kit.disk.onOperation = ({ kind }) => (kind === 'read' ? { short: 11 } : null)
    expectSame(kit.readAll(), batches)
  })

  test.each(['ENOSPC', 'EDQUOT', 'EFBIG'])(
    '%s half-way: cut back, read-only, and the next batch tries again',
    code => {
      const kit = new LogHarness().open()
      const good = makeBatch({ mark: 1 })
      kit.append(good)
      kit.settle()
      const sizeBytes = kit.disk.bytesOf(kit.path(0, 'log')).length
      let writes = 0
      kit.disk.onOperation = onLogFile(({ kind }) => {
        if (kind !== 'write') return null
        return ++writes === 1 ? { short: 100 } : { code }
      })
      const lost = [
        makeBatch({ mark: 2, valueBytes: 300 }),
        makeBatch({ mark: 3, valueBytes: 300 }),
      ]
      for (const batch of lost) expect(kit.stage(batch).error).toBe(Errors.NONE)
      expect(kit.log.commit()).toBe(Errors.KAFKA_STORAGE_ERROR)
      expect(kit.log.state).toBe('read-only')
      expect(kit.log.reason).toMatch(code)
      expect(kit.disk.bytesOf(kit.path(0, 'log')).length).toBe(sizeBytes)
      expect(kit.log.offsets).toMatchObject({ logEnd: 1, highWatermark: 1 })
      expectSame(kit.readAll(), [good])
      expect(kit.failures).toEqual([])
      kit.disk.onOperation = () => null
      const [again] = kit.append(makeBatch({ mark: 4 }))
      expect(again.baseOffset).toBe(1)
      expect([kit.log.state, kit.log.reason]).toEqual(['online', null])
      kit.settle()
      expect(kit.readAll().length).toBe(2)
    },
  )

  test('EIO takes the log offline', () => {
    const kit = new LogHarness().open()
    kit.disk.onOperation = onLogFile(({ kind }) => (kind === 'write' ? { code: 'EIO' } : null))
    kit.stage(makeBatch())
    expect(kit.log.commit()).toBe(Errors.KAFKA_STORAGE_ERROR)
    expect(kit.log.state).toBe('offline')
    expect(kit.failures.length).toBe(1)
  })

  test('a tail that cannot be cut back takes the log offline', () => {
    const kit = new LogHarness().open()
    kit.append(makeBatch())
    kit.settle()
    kit.disk.onOperation = onLogFile(({ kind }) => {
      if (kind === 'write') return { code: 'ENOSPC' }
      return kind === 'truncate' ? { code: 'EIO' } : null
    })
    kit.stage(makeBatch())
    expect(kit.log.commit()).toBe(Errors.KAFKA_STORAGE_ERROR)
    expect(kit.log.state).toBe('offline')
    expect(kit.failures.length).toBe(1)
  })

  test('a round that fails behind a roll leaves neither the new segment nor the old tail', () => {
    const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
    const good = makeBatch({ mark: 1, valueBytes: 400 })
    kit.append(good)
    kit.settle()
    kit.disk.onOperation = ({ kind, path }) =>
      kind === 'write' && path === kit.path(2, 'log') ? { code: 'ENOSPC' } : null
    for (const mark of [2, 3]) kit.stage(makeBatch({ mark, valueBytes: 400 }))
    expect(kit.log.commit()).toBe(Errors.KAFKA_STORAGE_ERROR)
    expect(kit.names().filter(name => name.endsWith('.log')).length).toBe(1)
    expect(kit.disk.bytesOf(kit.path(0, 'log')).length).toBe(good.length)
    kit.disk.onOperation = () => null
    const more = [4, 5, 6].map(mark => makeBatch({ mark, valueBytes: 400 }))
    kit.append(...more)
    kit.settle()
    expectSame(kit.readAll(), [good, ...more])
    kit.disk.kill()
    kit.open({ recover: true })
    expectSame(kit.readAll(), [good, ...more])
  })

  test('when no file can be made the segment takes up to twice its size, then appends fail', () => {
    const kit = new LogHarness({ segmentBytesMax: 1_000 }).open()
    kit.disk.onOperation = ({ kind }) => (kind === 'create' ? { code: 'EMFILE' } : null)
    const batches: Buffer[] = []
    let error = 0
    while (error === 0) {
      const batch = makeBatch({ mark: batches.length, valueBytes: 400 })
      kit.stage(batch)
      error = kit.log.commit()
      if (error === 0) batches.push(batch)
    }
    expect(error).toBe(Errors.KAFKA_STORAGE_ERROR)
    expect(kit.log.state).toBe('read-only')
    const sizeBytes = batches.reduce((sum, batch) => sum + batch.length, 0)
    expect(sizeBytes).toBeGreaterThan(1_400)
    expect(sizeBytes).toBeLessThanOrEqual(2_000)
    kit.disk.onOperation = () => null
    const last = makeBatch({ mark: 99, valueBytes: 400 })
    kit.append(last)
    kit.settle()
    expect(kit.log.segments.length).toBe(2)
    expectSame(kit.readAll(), [...batches, last])
  })

  test('an index that cannot be written costs nothing but its entries', () => {
    const kit = new LogHarness({ segmentBytesMax: 2_000, indexIntervalBytes: 0 }).open()
    kit.disk.onOperation = ({ path }) => (path.endsWith('index') ? { code: 'ENOSPC' } : null)
    const batches = Array.from({ length: 40 }, (_, mark) => makeBatch({ mark, valueBytes: 200 }))
    for (const batch of batches) kit.append(batch)
    kit.settle()
    expectSame(kit.readAll(), batches)
    kit.disk.onOperation = () => null
    expect(kit.closeClean()).toBe(true)
    kit.open()
    expectSame(kit.readAll(), batches)
  })
})

describe('a failed round and the producers', () => {
  const batch = (baseSequence: number, mark = 0) =>
    makeBatch({ producerId, producerEpoch: 0, baseSequence, mark })

  test('sequences of the failed round count as never seen', () => {
    const kit = new LogHarness().open()
    kit.append(batch(0), batch(1))
    kit.disk.onOperation = onLogFile(({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null))
    expect(kit.stage(batch(2)).error).toBe(Errors.NONE)
    expect(kit.stage(batch(3)).error).toBe(Errors.NONE)
    expect(kit.log.commit()).toBe(Errors.KAFKA_STORAGE_ERROR)
    kit.disk.onOperation = () => null
    expect(kit.stage(batch(3)).error).toBe(Errors.OUT_OF_ORDER_SEQUENCE_NUMBER)
    expect(kit.append(batch(2))[0]).toMatchObject({ error: 0, baseOffset: 2, duplicate: false })
    expect(kit.stage(batch(1))).toMatchObject({ error: 0, baseOffset: 1, duplicate: true })
  })

  test('a producer first seen in a failed round is unknown again', () => {
    const kit = new LogHarness().open()
    kit.disk.onOperation = onLogFile(({ kind }) => (kind === 'write' ? { code: 'ENOSPC' } : null))
    kit.stage(batch(0))
    kit.log.commit()
    kit.disk.onOperation = () => null
    // No state: any first sequence is accepted.
    expect(kit.append(batch(41))[0]).toMatchObject({ error: 0, baseOffset: 0, duplicate: false })
  })
})
