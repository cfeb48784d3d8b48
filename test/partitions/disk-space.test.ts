/** When a disk counts as full, and how rarely that is looked up (RELIABILITY 2.4, P14). */
import { expect, test } from 'vitest'
import { realDisk } from '../../workers/disk.ts'
import { DiskSpace } from '../../workers/disk-space.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MiB = 2 ** 20

/** A disk whose free space the test sets. */
function watched(reserveBytes: number, totalBytes = 1024 * MiB) {
  const seen = { looks: 0, changes: [] as boolean[], rooms: 0, freeBytes: totalBytes }
  const disk = {
    ...realDisk,
    freeBytes: () => {
      seen.looks++
      return seen.freeBytes
    },
    totalBytes: () => totalBytes,
  }
  const clock = new FakeClock()
  const space = new DiskSpace({
    disk,
    clock,
    directory: '/data',
    reserveBytes,
    onChange: isFull => seen.changes.push(isFull),
    onRoom: () => seen.rooms++,
  })
  return { space, seen, clock }
}

test('the default reserve is 5 % of a small file system, and never more than 256 MiB', () => {
  const small = watched(-1, 1000 * MiB)
  small.seen.freeBytes = 51 * MiB
  small.space.exhausted()
  expect(small.space.isFull).toBe(false)
  small.seen.freeBytes = 49 * MiB
  small.space.exhausted()
  expect(small.space.isFull).toBe(true)
  const large = watched(-1, 100_000 * MiB)
  large.seen.freeBytes = 257 * MiB
  large.space.exhausted()
  expect(large.space.isFull).toBe(false)
  large.seen.freeBytes = 255 * MiB
  large.space.exhausted()
  expect(large.space.isFull).toBe(true)
})

test('full below the reserve, until twice of it is free; looked up every second meanwhile', () => {
  const { space, seen, clock } = watched(10 * MiB)
  seen.freeBytes = 10 * MiB - 1
  space.exhausted()
  expect(space.isFull).toBe(true)
  seen.freeBytes = 20 * MiB - 1
  clock.advance(1000)
  expect([space.isFull, seen.rooms]).toEqual([true, 0])
  seen.freeBytes = 20 * MiB
  clock.advance(1000)
  expect([space.isFull, seen.rooms]).toEqual([false, 1])
  expect(seen.changes).toEqual([true, false])
  const { looks } = seen
  clock.advance(60_000)
  expect(seen.looks).toBe(looks)
})

test('appends are looked at in steps that shrink with what is left, and never overrun the reserve', () => {
  const { space, seen } = watched(100 * MiB)
  const batchBytes = 64 * 1024
  let appends = 0
  while (!space.isFull) {
    space.appending(batchBytes)
    if (space.isFull) break
    seen.freeBytes -= batchBytes
    appends++
  }
  // One owner alone overruns it by a step at most.
  expect(seen.freeBytes).toBeGreaterThan(100 * MiB - 2 * batchBytes)
  expect(appends).toBeGreaterThan(10_000)
  expect(seen.looks).toBeLessThan(100)
})

test('a disk that does not say how much is free is not taken for full', () => {
  const { space, seen } = watched(10 * MiB)
  Object.defineProperty(seen, 'freeBytes', {
    get: () => {
      throw new Error('EIO')
    },
  })
  space.exhausted()
  expect(space.isFull).toBe(false)
})

test('a full disk that does not answer once is looked at again', () => {
  const { space, seen, clock } = watched(10 * MiB)
  seen.freeBytes = 0
  space.exhausted()
  Object.defineProperty(seen, 'freeBytes', {
    get: () => {
      throw new Error('EIO')
    },
    configurable: true,
  })
  clock.advance(1000)
  expect(space.isFull).toBe(true)
  Object.defineProperty(seen, 'freeBytes', { value: 100 * MiB })
  clock.advance(1000)
  expect([space.isFull, seen.rooms]).toEqual([false, 1])
})
