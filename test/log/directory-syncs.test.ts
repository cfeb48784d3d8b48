/** Syncs of directories when no descriptor is left: nothing was synced, so nothing is lost, and nobody is told yet. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startDirectorySync } from '../../workers/directory-syncs.ts'
import { root } from '../support/source-tree.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const run = promisify(execFile)

interface Seen {
  readonly toldWhileNone: readonly string[]
  readonly told: readonly string[]
  readonly afterMs: number
}

/** Takes every descriptor of a process of its own, asks for syncs, and gives the descriptors back after `noneMs`. */
async function syncedWithout(noneMs: number): Promise<Seen> {
  const paths = [await tempDirectory(), await tempDirectory()]
  const script = `
    import fs from 'node:fs'
    import { startDirectorySync } from ${JSON.stringify(join(root, 'workers/directory-syncs.ts'))}
    const held = []
    try { for (;;) held.push(fs.openSync('/dev/null')) } catch (error) {
      if (error.code !== 'EMFILE') throw error
    }
    const [path, other] = ${JSON.stringify(paths)}
    const told = []
    const ask = (directory, name) => startDirectorySync(directory, error => {
      told.push(error === null ? name : error.code)
      if (told.length < 3) return
      console.log(JSON.stringify({ toldWhileNone, told, afterMs: performance.now() - freeMs }))
    })
    ask(path, 'first')
    ask(path, 'second')
    ask(other, 'other')
    let toldWhileNone, freeMs
    setTimeout(() => {
      toldWhileNone = [...told]
      freeMs = performance.now()
      for (const fd of held) fs.closeSync(fd)
    }, ${noneMs})
  `
  const command = 'ulimit -n 96 && exec "$0" --input-type=module -e "$1"'
  const { stdout } = await run('sh', ['-c', command, process.execPath, script])
  return JSON.parse(stdout) as Seen
}

test('nobody is told before a descriptor is there, and soon after everybody is', async () => {
  // Tried at 0, 20, 60, 140 and 300 ms.
  const { toldWhileNone, told, afterMs } = await syncedWithout(100)
  expect(toldWhileNone).toEqual([])
  expect([...told].sort()).toEqual(['first', 'other', 'second'])
  expect(told.indexOf('first')).toBeLessThan(told.indexOf('second'))
  expect(afterMs).toBeLessThan(500)
})

test('however long there was none, it is tried again within a second', async () => {
  // Tried at 1260, 2260 and 3260 ms; without a bound the next would be at 5100.
  const { toldWhileNone, told, afterMs } = await syncedWithout(2700)
  expect(toldWhileNone).toEqual([])
  expect([...told].sort()).toEqual(['first', 'other', 'second'])
  expect(afterMs).toBeLessThan(1500)
})

test('any other error is told at once', async () => {
  const path = `${await tempDirectory()}/missing`
  const error = await new Promise<Error | null>(resolve => startDirectorySync(path, resolve))
  expect(error).toMatchObject({ code: 'ENOENT' })
})
