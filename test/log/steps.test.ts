import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { type Steps, synced, together } from '../../workers/log/steps.ts'
import { directory, LogHarness, makeBatch } from './log-kit.ts'

function* waiting(...parts: readonly string[]): Steps<string> {
  for (const part of parts) yield* synced([part])
  return parts.join('')
}

test('a step of many waits for all of their syncs, and an error is that of the one it belongs to', () => {
  const steps = together([waiting('a', 'b'), waiting('c'), waiting('d', 'e')])
  expect(steps.next([]).value).toEqual(['a', 'c', 'd'])
  const failure = new Error('EIO')
  expect(steps.next([null, failure, null]).value).toEqual(['b', 'e'])
  expect(steps.next([null, null])).toEqual({
    done: true,
    value: [
      { status: 'fulfilled', value: 'ab' },
      { status: 'rejected', reason: failure },
      { status: 'fulfilled', value: 'de' },
    ],
  })
})

test('a log that is offline finds no record lost, whatever its files are by now', () => {
  const kit = new LogHarness({ segmentBytesMax: 300 }).open()
  for (let i = 0; i < 8; i++) {
    kit.append(makeBatch())
    kit.settle()
  }
  kit.log.roundFailed(new Error('EIO'))
  kit.log.segments[0]?.closeFile()
  // As the unfinished swap of a try to bring it back leaves it.
  kit.disk.unlink(`${directory}/00000000000000000000.log`)
  for (let i = 0; i < 5; i++) {
    const result = newReadResult()
    kit.log.read(0, 10_000, Buffer.alloc(10_000), result)
    expect(result.error).toBe(Errors.KAFKA_STORAGE_ERROR)
  }
  expect(kit.log.lostRanges.isEmpty).toBe(true)
})
