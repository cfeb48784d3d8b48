/** Files that go in the background, on the real file system: their names at once, their blocks bit by bit. */
import {
  closeSync,
  existsSync,
  fstatSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { realDisk } from '../../workers/disk.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const mebibyte = 1024 * 1024
const opened: number[] = []

afterEach(() => {
  for (const fd of opened.splice(0)) closeSync(fd)
})

function file(directory: string, name: string, bytes: number): string {
  const path = `${directory}/${name}`
  writeFileSync(path, Buffer.alloc(bytes, 1))
  return path
}

/** A descriptor that outlives the name: what becomes of the file shows there. */
function hold(path: string): number {
  const fd = openSync(path, 'r')
  opened.push(fd)
  return fd
}

function unlink(paths: readonly string[]): Promise<Error | null> {
  return new Promise(resolve => realDisk.startUnlink(paths, resolve))
}

test('a large file is cut bit by bit once its name is gone', async () => {
  const path = file(await tempDirectory(), 'large', 9 * mebibyte)
  const fd = hold(path)
  expect(await unlink([path])).toBe(null)
  expect(existsSync(path)).toBe(false)
  const sizes = new Set<number>()
  for (let look = 0; look < 2000 && fstatSync(fd).size > 2 * mebibyte; look++) {
    sizes.add(fstatSync(fd).size)
    await setTimeout(1)
  }
  expect(fstatSync(fd).size).toBeLessThanOrEqual(2 * mebibyte)
  expect(sizes.size).toBeGreaterThan(1)
})

test('a file with another name is left as it is: a backup made of links', async () => {
  const directory = await tempDirectory()
  const kept = `${directory}/kept`
  const path = file(directory, 'linked', 9 * mebibyte)
  linkSync(path, kept)
  const last = file(directory, 'last', 9 * mebibyte)
  const fd = hold(last)
  expect(await unlink([path, last])).toBe(null)
  // One after another: the first one is done with when the second one shrinks.
  for (let look = 0; look < 2000 && fstatSync(fd).size > 2 * mebibyte; look++) await setTimeout(1)
  expect(fstatSync(fd).size).toBeLessThanOrEqual(2 * mebibyte)
  expect(statSync(kept).size).toBe(9 * mebibyte)
})

test('unlinks go in order, a missing name is no error, another failure ends them', async () => {
  const directory = await tempDirectory()
  const [a, b] = [file(directory, 'a', 1), file(directory, 'b', 1)]
  mkdirSync(`${directory}/dir`)
  const error = await unlink([a, `${directory}/missing`, `${directory}/dir`, b])
  expect(error).toMatchObject({ code: expect.stringMatching(/EISDIR|EPERM/) })
  expect(readdirSync(directory).sort()).toEqual(['b', 'dir'])
  expect(await unlink([])).toBe(null)
})

test('more large files than descriptors are kept for all go', async () => {
  const directory = await tempDirectory()
  const paths = Array.from({ length: 100 }, (_, index) =>
    file(directory, `large-${index}`, 4 * mebibyte + 1),
  )
  expect(await unlink(paths)).toBe(null)
  expect(readdirSync(directory)).toEqual([])
})

test('a directory goes with all of its files and without a wait for them', async () => {
  const parent = await tempDirectory()
  const directory = `${parent}/t-0.delete`
  mkdirSync(directory)
  for (let index = 0; index < 3000; index++) file(directory, String(index), 0)
  let turns = 0
  const timer = setInterval(() => turns++, 1)
  const error = await new Promise<Error | null>(resolve => {
    realDisk.startRemoveTree(directory, resolve)
  })
  clearInterval(timer)
  expect(error).toBe(null)
  expect(existsSync(directory)).toBe(false)
  expect(turns).toBeGreaterThan(3)
  const again = new Promise<Error | null>(resolve => {
    realDisk.startRemoveTree(directory, resolve)
  })
  expect(await again).toBe(null)
})
