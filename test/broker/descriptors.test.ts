/**
 * Few file descriptors (RELIABILITY E3, V6): the broker counts for itself, refuses what it has no room for, and never
 * lets connections take the descriptors that its logs need.
 */
import { once } from 'node:events'
import { chmod, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { DescriptorBudget, descriptorLimit, sealedFilesPerOwner } from '../../src/descriptors.ts'
import { requireThat } from '../support/requires.ts'
import { failedStart, spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { batchOf, connect, createTopic, readAll, store } from './fixture.ts'

/** A node whose process may open so many files. */
async function nodeWith(files: number): Promise<string> {
  const path = join(await tempDirectory(), 'node')
  await writeFile(path, `#!/bin/sh\nulimit -n ${files}\nexec ${process.execPath} "$@"\n`)
  await chmod(path, 0o755)
  return path
}

describe('the budget', () => {
  test('is what the limit leaves beside logs, readers and a reserve', () => {
    const use = { limit: 1024, open: 200, owners: 2, partitions: 100 }
    const budget = new DescriptorBudget(use)
    const sealed = 2 * sealedFilesPerOwner(1024, 2)
    const left = 1024 - 200 - sealed - 64
    expect(budget.connectionsFor(100) + budget.httpConnections).toBe(left)
    // Every partition that is made later takes one more.
    expect(budget.connectionsFor(130)).toBe(budget.connectionsFor(100) - 30)
    expect(budget.connectionsFor(10)).toBe(budget.connectionsFor(100))
  })

  test('is refused below 256, with the limit that would do', () => {
    const use = { limit: 500, open: 200, owners: 1, partitions: 100 }
    let message = ''
    try {
      new DescriptorBudget(use)
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toMatch(/^500 file descriptors are not enough: /)
    const needed = Number(/\(ulimit -n (\d+)\)$/.exec(message)?.[1])
    expect(new DescriptorBudget({ ...use, limit: needed }).httpConnections).toBe(32)
    expect(() => new DescriptorBudget({ ...use, limit: needed - 1 })).toThrow('not enough')
  })

  test('is endless where the system sets no limit', () => {
    const budget = new DescriptorBudget({ limit: Infinity, open: 0, owners: 1, partitions: 1 })
    expect([budget.connectionsFor(4096), budget.httpConnections]).toEqual([Infinity, 10_000])
  })
})

describe('a process', { timeout: 120_000 }, () => {
  test('that may open too few files refuses to start and says how many it needs', async context => {
    requireThat(context, Number.isFinite(descriptorLimit()), 'there is no /proc', 'use Linux')
    const dataDirectory = await tempDirectory()
    const { code, stderr } = await failedStart({ dataDirectory, node: await nodeWith(300) })
    expect(code).toBe(1)
    expect(stderr).toMatch(/300 file descriptors are not enough: .*ulimit -n \d+/)
  })

  test('under a flood of connections keeps making topics and rolling segments', async context => {
    requireThat(context, Number.isFinite(descriptorLimit()), 'there is no /proc', 'use Linux')
    const dataDirectory = await tempDirectory()
    const node = await nodeWith(600)
    await using broker = await spawnBroker({ dataDirectory, node, args: ['--workers', '1'] })
    const client = await connect(broker)
    const [host, port] = broker.bootstrap.split(':')
    const sockets: net.Socket[] = []
    onTestFinished(() => {
      for (const socket of sockets) socket.destroy()
    })
    let closed = 0
    for (let i = 0; i < 700; i++) {
      const socket = net.connect(Number(port), host)
      socket.on('error', () => {}).on('close', () => closed++)
      sockets.push(socket)
      await once(socket, 'connect')
    }
    await expect.poll(() => closed, { timeout: 30_000 }).toBeGreaterThan(300)
    const topic = await createTopic(client, {
      partitions: 5,
      configs: { 'segment.bytes': '2000' },
    })
    for (let i = 0; i < 20; i++) await store(client, topic, batchOf(['x'.repeat(900)]))
    expect(await readAll(client, topic)).toHaveLength(20)
    const metrics = await (await fetch(`${broker.httpUrl}/metrics`)).text()
    const rejected = /^odradek_connections_rejected_total (\d+)$/m.exec(metrics)
    expect(Number(rejected?.[1])).toBe(closed)
    expect(700 + 1 - closed).toBeGreaterThanOrEqual(200)
  })
})
