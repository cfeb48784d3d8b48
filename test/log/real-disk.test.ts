/** The log on the real file system, and the real file system behind its interface. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Piscina } from 'piscina'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import type { PartitionSpec, RecoveryVerdict } from '../../src/contracts/control.ts'
import { realDisk } from '../../workers/disk.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import { newAppendResult, newReadResult } from '../../workers/log/results.ts'
import type { RecoverInput } from '../../workers/tasks/recover-segment.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { baseConfig, makeBatch, splitBatches, topicId } from './log-kit.ts'

/** Bytes in use after a full collection: without one the figure says how long ago the last was. */
function liveBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function open(directory: string, more: Partial<PartitionSpec> = {}): PartitionLog {
  const spec: PartitionSpec = {
    topic: 't',
    topicId,
    partition: 0,
    slot: 0,
    generation: 1,
    directory,
    config: { ...baseConfig, segmentBytesMax: 20_000 },
    recover: false,
    verdict: null,
    recoveryPoint: 0,
    copyForward: false,
    flushedOffset: -1,
    ...more,
  }
  return PartitionLog.open({
    spec,
    env: { disk: realDisk, clock: systemClock },
    onAdvance: () => {},
    onFailure: (_, error) => {
      throw error
    },
  })
}

function append(log: PartitionLog, batches: readonly Buffer[]): void {
  const result = newAppendResult()
  for (const batch of batches) {
    // The arena is shared memory.
    const shared = Buffer.from(new SharedArrayBuffer(batch.length))
    batch.copy(shared)
    log.stage(shared, 9, result)
    expect(result.error).toBe(0)
  }
  expect(log.commit()).toBe(0)
}

function readAll(log: PartitionLog): Buffer[] {
  const region = Buffer.from(new SharedArrayBuffer(64 * 1024))
  const result = newReadResult()
  const batches: Buffer[] = []
  for (let offset = 0; offset < log.offsets.highWatermark; offset = result.nextOffset) {
    log.read(offset, region.length, region, result)
    expect(result).toMatchObject({ error: 0, neededBytes: 0 })
    batches.push(...splitBatches(region.subarray(result.start, result.start + result.length)))
  }
  return batches
}

const values = (batches: readonly Buffer[]): string[] =>
  batches.map(batch => batch.subarray(61).toString('hex'))

/** Open descriptors of this process, where the system tells. */
const descriptors = (): number =>
  existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd').length : 0

/** Those of files in `directory`, whether they have a name or not. */
function descriptorsIn(directory: string): number {
  const fds = existsSync('/proc/self/fd') ? readdirSync('/proc/self/fd') : []
  return fds.filter(fd => targetOf(fd).startsWith(`${directory}/`)).length
}

function targetOf(fd: string): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

describe('a log on disk', () => {
  test('appends, rolls, flushes, closes, opens, recovers', async () => {
    const directory = `${await tempDirectory()}/t-0`
    const batches = Array.from({ length: 300 }, (_, mark) => makeBatch({ mark, valueBytes: 300 }))
    const log = open(directory)
    for (let at = 0; at < batches.length; at += 7) append(log, batches.slice(at, at + 7))
    await log.settled()
    expect(log.offsets.highWatermark).toBe(300)
    expect(values(readAll(log))).toEqual(values(batches))
    expect(log.close({ clean: true })).toBe(true)

    const again = open(directory)
    expect(values(readAll(again))).toEqual(values(batches))
    append(again, [makeBatch({ mark: 300 })])
    await again.settled()
    again.close({ clean: false })

    const recovered = open(directory, { recover: true, copyForward: true })
    expect(recovered.offsets).toMatchObject({ logEnd: 301, highWatermark: 301, recoveryPoint: 301 })
    await recovered.delete()
    expect(realDisk.exists(directory)).toBe(false)
  })

  test('a recovery scan in the task pool finds what the owner needs', async () => {
    const directory = `${await tempDirectory()}/t-0`
    const log = open(directory)
    for (let mark = 0; mark < 200; mark++) append(log, [makeBatch({ mark, valueBytes: 300 })])
    await log.settled()
    log.close({ clean: false })
    const last = readdirSync(directory)
      .filter(name => name.endsWith('.log'))
      .sort()
      .at(-1)!
    const file = realDisk.open(`${directory}/${last}`, 'r+')
    file.truncate(file.sizeBytes() - 10)
    file.close()
    const pool = new Piscina({
      filename: new URL('../../workers/tasks/recover-segment.ts', import.meta.url).href,
      maxThreads: 1,
      atomics: 'disabled',
    })
    const input: RecoverInput = {
      directory,
      recoveryPoint: 0,
      flushedOffset: -1,
      copyForward: true,
      indexIntervalBytes: 4096,
    }
    const verdict: RecoveryVerdict = await pool.run(input)
    await pool.destroy()
    expect(verdict.segments.at(-1)?.error).toMatch(/^torn/)
    const recovered = open(directory, { recover: true, copyForward: true, verdict })
    expect(recovered.offsets.logEnd).toBe(199)
    expect(readAll(recovered).length).toBe(199)
    expect(readdirSync(directory).filter(name => name.endsWith('.tmp'))).toEqual([])
    recovered.close({ clean: true })
  })

  test('a thousand logs are open at once in little memory and with few descriptors', async () => {
    const root = await tempDirectory()
    const count = 1_000
    const bytesBefore = liveBytes()
    const before = descriptors()
    const logs = Array.from({ length: count }, (_, partition) =>
      open(`${root}/t-${partition}`, { partition, slot: partition }),
    )
    for (const log of logs) append(log, [makeBatch()])
    expect(descriptors() - before).toBeLessThan(count + 300)
    const bytesPerLog = (liveBytes() - bytesBefore) / count
    await Promise.all(logs.map(log => log.settled()))
    expect(bytesPerLog).toBeLessThan(20_000)
    for (const log of logs) expect(log.close({ clean: true })).toBe(true)
    const reopened = logs.map((_, partition) => open(`${root}/t-${partition}`, { partition }))
    expect(reopened.every(log => log.offsets.logEnd === 1)).toBe(true)
    for (const log of reopened) log.close({ clean: false })
    expect(descriptors() - before).toBeLessThan(20)
  })
})

describe('the real disk', () => {
  test('a file closed while its sync is queued is closed after it', async () => {
    const path = `${await tempDirectory()}/f`
    const file = realDisk.open(path, 'wx')
    file.write(Buffer.from('abc'), 0)
    const done = new Promise<Error | null>(resolve => file.startSync(resolve))
    file.close()
    // The number must not be reused for another file before the sync is through.
    const other = realDisk.open(`${path}2`, 'wx')
    expect(await done).toBe(null)
    other.close()
    expect(readFileSync(path, 'utf8')).toBe('abc')
  })

  test('a touch is told of once, beyond the end and on a closed file, too', async () => {
    const path = `${await tempDirectory()}/f`
    const file = realDisk.open(path, 'wx')
    file.write(Buffer.alloc(3 * 1024 * 1024), 0)
    const touch = (position: number, bytes: number): Promise<void> =>
      new Promise(resolve => file.startTouch(position, bytes, resolve))
    await touch(0, 3 * 1024 * 1024)
    await touch(1000, 2 ** 31)
    await touch(2 ** 40, 100)
    const before = descriptors()
    const last = touch(0, 3 * 1024 * 1024)
    file.close()
    expect(descriptors()).toBe(before)
    await last
    await touch(0, 100)
    await expect.poll(descriptors).toBe(before - 1)
  })

  test.skipIf(process.platform === 'win32')('large files are freed behind the back', async () => {
    const directory = await tempDirectory()
    const paths = ['a', 'b', 'tree/c', 'tree/d'].map(name => `${directory}/${name}`)
    realDisk.mkdir(`${directory}/tree`)
    for (const path of paths) {
      const file = realDisk.open(path, 'wx')
      file.write(Buffer.alloc(5 * 1024 * 1024), 0)
      file.close()
    }
    realDisk.rename(`${directory}/a`, `${directory}/b`)
    realDisk.unlink(`${directory}/b`)
    realDisk.removeTree(`${directory}/tree`)
    // The names are gone at once; who holds the bytes lets go in the background, sooner or later.
    expect(realDisk.list(directory)).toEqual([])
    await expect.poll(() => descriptorsIn(directory), { timeout: 20_000 }).toBe(0)
    realDisk.removeTree(`${directory}/tree`)
    expect(() => realDisk.unlink(`${directory}/a`)).toThrow(
      expect.objectContaining({ code: 'ENOENT' }),
    )
  })

  test('open modes, errors with codes, whole and short reads', async () => {
    const directory = await tempDirectory()
    const path = `${directory}/f`
    expect(() => realDisk.open(path, 'r')).toThrow(expect.objectContaining({ code: 'ENOENT' }))
    const file = realDisk.open(path, 'wx')
    expect(() => realDisk.open(path, 'wx')).toThrow(expect.objectContaining({ code: 'EEXIST' }))
    expect(file.write(Buffer.from('0123456789'), 5)).toBe(10)
    expect(file.writeGathered([Buffer.from('ab'), Buffer.from('cd')], 1)).toBe(4)
    const into = Buffer.alloc(20, '-')
    expect(file.read(into, 0)).toBe(15)
    expect(into.toString('latin1')).toBe('\0abcd0123456789-----')
    expect(file.read(into, 15)).toBe(0)
    file.truncate(3)
    expect(file.sizeBytes()).toBe(3)
    file.sync()
    file.close()
    realDisk.rename(path, `${directory}/g`)
    expect(realDisk.list(directory)).toEqual(['g'])
    realDisk.syncDirectory(directory)
    realDisk.unlink(`${directory}/g`)
    expect(realDisk.exists(`${directory}/g`)).toBe(false)
    expect(realDisk.freeBytes(directory)).toBeGreaterThan(0)
  })

  test('a directory sync reports success and failure', async () => {
    const directory = await tempDirectory()
    const sync = (path: string): Promise<Error | null> =>
      new Promise(resolve => realDisk.startSyncDirectory(path, resolve))
    expect(await sync(directory)).toBe(null)
    expect(await sync(`${directory}/none`)).toMatchObject({ code: 'ENOENT' })
  })

  test('any number of directory syncs needs few descriptors; everybody is told once', async () => {
    const root = await tempDirectory()
    const paths = Array.from({ length: 200 }, (_, index) => `${root}/${index}`)
    for (const path of paths) realDisk.mkdir(path)
    const before = descriptors()
    let told = 0
    let descriptorsMax = 0
    await new Promise<void>(resolve => {
      for (const path of paths) {
        for (const directory of [path, root]) {
          realDisk.startSyncDirectory(directory, error => {
            expect(error).toBe(null)
            descriptorsMax = Math.max(descriptorsMax, descriptors() - before)
            if (++told === 2 * paths.length) resolve()
          })
        }
      }
    })
    await new Promise(resolve => setTimeout(resolve, 20))
    expect(told).toBe(400)
    expect(descriptorsMax).toBeLessThan(40)
  })

  test('large files go, and the descriptors that held them meanwhile as well', async () => {
    const directory = await tempDirectory()
    const before = descriptors()
    const write = (name: string): string => {
      const path = `${directory}/${name}`
      const file = realDisk.open(path, 'wx')
      file.write(Buffer.alloc(5 * 1024 * 1024), 0)
      file.close()
      return path
    }
    realDisk.unlink(write('a'))
    realDisk.rename(write('b'), write('c'))
    expect(realDisk.list(directory)).toEqual(['c'])
    await expect.poll(() => descriptors()).toBe(before)
    expect(() => realDisk.unlink(`${directory}/a`)).toThrow('ENOENT')
  })
})
