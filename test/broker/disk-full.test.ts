/**
 * A disk that fills up (RELIABILITY B3, B4, P14): produces are refused with a retriable error, everything else goes on,
 * and they are taken again by themselves once there is room. On a small tmpfs.
 */
import { execFileSync } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { chmod, mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Broker } from '../../src/broker.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { commit, fetchOffsets } from '../groups/offsets-kit.ts'
import { requireCommand } from '../support/requires.ts'
import { smallDisk } from '../support/small-disk.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import type { WireClient } from '../support/wire-client.ts'
import {
  batchOf,
  connect,
  createTopic,
  launchBroker,
  produce,
  readAll,
  store,
  testBroker,
} from './fixture.ts'

const MiB = 2 ** 20
const patience = { timeout: 30_000, interval: 20 }
const batch = () => batchOf(['x'.repeat(60_000)])

async function readyStatus(broker: Broker): Promise<number> {
  return (await fetch(`${broker.httpUrl}/readyz`)).status
}

function freeBytes(path: string): number {
  const { bavail, bsize } = statfsSync(path)
  return bavail * bsize
}

/** A file that takes so many bytes of the disk. */
async function ballast(path: string, bytes: number): Promise<void> {
  await writeFile(path, Buffer.alloc(bytes, 1))
}

/** Produces until it is refused. @returns how many batches were acknowledged, and the error */
async function fill(client: WireClient, topic: string): Promise<{ count: number; error: string }> {
  for (let count = 0; count < 2000; count++) {
    const { errorCode, baseOffset } = await produce(client, topic, batch())
    if (errorCode !== Errors.NONE) return { count, error: errorName(errorCode) }
    expect(baseOffset).toBe(count)
  }
  throw new Error('the disk does not fill up')
}

async function offsets(client: WireClient, topic: string): Promise<number[]> {
  return (await readAll(client, topic)).map(({ offset }) => offset)
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
}

test('produces stop at the reserve and go on at twice of it, by themselves', async context => {
  const disk = await smallDisk(context, { sizeMiB: 32 })
  const dataDirectory = join(disk, 'data')
  await mkdir(dataDirectory)
  await ballast(join(disk, 'ballast'), 16 * MiB)
  const reserve = 4 * MiB
  const set = { 'disk.reserve.bytes': reserve }
  const broker = await testBroker({ dataDirectory, set, http: true, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client)
  const filled = await fill(client, topic)
  expect(filled.error).toBe('KAFKA_STORAGE_ERROR')
  // The reserve is all but untouched.
  expect(freeBytes(disk)).toBeGreaterThan(reserve - MiB)
  expect(freeBytes(disk)).toBeLessThan(reserve + MiB)
  expect(await offsets(client, topic)).toEqual(upTo(filled.count))
  const ready = await fetch(`${broker.httpUrl}/readyz`)
  expect([ready.status, await ready.text()]).toEqual([503, expect.stringContaining('read-only')])
  const metrics = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  expect(metrics).toContain('odradek_partitions{state="read-only"} 1\n')

  // What is the broker's own may use the reserve: groups go on committing.
  const key = `${topic}-0`
  for (const offset of [1, 2]) {
    expect(await commit(client, 'group', { [key]: offset })).toEqual({ [key]: 0 })
  }
  expect(await fetchOffsets(client, 'group')).toEqual({ [key]: 2 })

  // More than the reserve, less than twice of it.
  const file = await open(join(disk, 'ballast'), 'r+')
  await file.truncate(14 * MiB)
  await file.close()
  await new Promise(resolve => setTimeout(resolve, 2500))
  expect((await produce(client, topic, batch())).errorCode).toBe(Errors.KAFKA_STORAGE_ERROR)
  await rm(join(disk, 'ballast'))
  await expect.poll(() => readyStatus(broker), patience).toBe(200)
  expect(await store(client, topic, batch())).toBe(filled.count)
  expect(await offsets(client, topic)).toEqual(upTo(filled.count + 1))
})

test('without a reserve the write fails: cut back to the last whole batch, and on when there is room', async context => {
  const disk = await smallDisk(context, { sizeMiB: 24 })
  const dataDirectory = join(disk, 'data')
  await mkdir(dataDirectory)
  await ballast(join(disk, 'ballast'), 12 * MiB)
  const set = { 'disk.reserve.bytes': 0 }
  const broker = await testBroker({ dataDirectory, set, http: true, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client)
  const filled = await fill(client, topic)
  expect(filled.error).toBe('KAFKA_STORAGE_ERROR')
  expect(await offsets(client, topic)).toEqual(upTo(filled.count))
  await rm(join(disk, 'ballast'))
  // Nobody produces, and still it says that it is ready again.
  await expect.poll(() => readyStatus(broker), patience).toBe(200)
  expect(await store(client, topic, batch())).toBe(filled.count)
  expect(await offsets(client, topic)).toEqual(upTo(filled.count + 1))
  const metrics = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  expect(metrics).toMatch(/^odradek_disk_full_total [1-9]/m)
})

test('without inodes no topic is made, and those that are there serve', async context => {
  const disk = await smallDisk(context, { sizeMiB: 32, inodes: 60 })
  const dataDirectory = join(disk, 'data')
  await mkdir(dataDirectory)
  const broker = await testBroker({ dataDirectory, workers: 1 })
  const client = await connect(broker)
  const topic = await createTopic(client)
  await store(client, topic, batchOf(['one']))
  const taken: string[] = []
  for (let i = 0; i < 60; i++) {
    const path = join(disk, `file-${i}`)
    const made = await writeFile(path, '').then(
      () => true,
      () => false,
    )
    if (!made) break
    taken.push(path)
  }
  await expect(createTopic(client)).rejects.toThrow('not created')
  expect(await store(client, topic, batchOf(['two']))).toBe(1)
  for (const path of taken) await rm(path)
  await createTopic(client)
  expect(await offsets(client, topic)).toEqual([0, 1])
})

test('a read-only file system is refused at the start, with the cure', async context => {
  const disk = await smallDisk(context, { sizeMiB: 8 })
  const dataDirectory = join(disk, 'data')
  await mkdir(dataDirectory)
  execFileSync('mount', ['-o', 'remount,ro', disk])
  await expect(launchBroker({ dataDirectory })).rejects.toThrow(
    `data directory ${dataDirectory} lies on a read-only file system: use another --data-dir`,
  )
})

test('a limit of the file size is a full disk, too, and nothing acknowledged is lost', async context => {
  const prlimit = requireCommand(context, 'prlimit', 'util-linux')
  const dataDirectory = await tempDirectory()
  const limited = join(await tempDirectory(), 'node')
  await writeFile(limited, `#!/bin/sh\nexec ${prlimit} --fsize=2000000 ${process.execPath} "$@"\n`)
  await chmod(limited, 0o755)
  const broker = await spawnBroker({ dataDirectory, node: limited })
  const client = await connect(broker)
  const topic = await createTopic(client)
  const filled = await fill(client, topic)
  expect(filled.error).toBe('KAFKA_STORAGE_ERROR')
  expect(filled.count).toBeGreaterThan(30)
  expect(await offsets(client, topic)).toEqual(upTo(filled.count))
  expect(await broker.stop()).toBe(0)
  await using again = await spawnBroker({ dataDirectory })
  const reader = await connect(again)
  expect(await offsets(reader, topic)).toEqual(upTo(filled.count))
  expect(await store(reader, topic, batch())).toBe(filled.count)
  reader.close()
})
