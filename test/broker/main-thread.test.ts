/**
 * The main thread fails (RELIABILITY C6, C11): the process ends at once instead of going on in an unknown state, and
 * what it acknowledged is there after the next start.
 */
import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Admin } from '../../src/client/admin.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { WireClient } from '../support/wire-client.ts'
import { batchOf, produce, readAll } from './fixture.ts'

const preload = new URL('./break-main.ts', import.meta.url).href
const windowSize = 8

/** Writes until the broker is gone, breaking it on the way. @returns the values acknowledged, by offset */
async function writeThrough(bootstrap: string, acks: number, breakAt: number, breakIt: () => void) {
  const acked = new Map<number, string>()
  const client = await WireClient.connect(bootstrap)
  let sent = 0
  const write = async (): Promise<void> => {
    for (;;) {
      const value = `${acks} ${sent++}`
      const row = await produce(client, 't', batchOf([value]), {
        acks,
        partition: acks === 1 ? 0 : 1,
      })
      expect(row.errorCode).toBe(Errors.NONE)
      acked.set(row.baseOffset, value)
      if (acked.size === breakAt) breakIt()
    }
  }
  await Promise.allSettled(Array.from({ length: windowSize }, write))
  return acked
}

test.each(['throw', 'reject', 'heap'])('%s: nothing acknowledged is lost', async how => {
  const dataDirectory = await tempDirectory()
  // Without a core file.
  const node = join(await tempDirectory(), 'node')
  const heap = how === 'heap' ? '--max-old-space-size=64' : ''
  await writeFile(
    node,
    `#!/bin/sh\nulimit -c 0\nexec ${process.execPath} ${heap} --import ${preload} "$@"\n`,
  )
  await chmod(node, 0o755)
  const env = { BROKEN_BY_TEST: how }
  const broker = await spawnBroker({ dataDirectory, node, env })
  const admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name: 't', partitions: 2 })
  await admin.close()
  const breakIt = (): void => void broker.child.kill('SIGUSR2')
  const written = await Promise.all([
    writeThrough(broker.bootstrap, 1, 300, breakIt),
    writeThrough(broker.bootstrap, -1, 1_000_000, () => {}),
  ])
  const { code, signal } = await broker.exited
  if (how === 'heap') expect(code === 134 || signal === 'SIGABRT').toBe(true)
  else expect([code, broker.stderr()]).toEqual([1, expect.stringContaining('broken by a test')])

  await using again = await spawnBroker({ dataDirectory })
  const client = await WireClient.connect(again.bootstrap)
  for (const [partition, acked] of written.entries()) {
    const values = (await readAll(client, 't', { partition })).map(({ value }) => String(value))
    expect(acked.size).toBeGreaterThan(0)
    for (const [offset, value] of acked) expect(values[offset]).toBe(value)
    expect(new Set(values).size).toBe(values.length)
  }
  client.close()
})
