import { existsSync } from 'node:fs'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { freePort } from './free-port.ts'
import { joinLines, linesOf, loadCommittedCorpus, loadCorpus, splitLines } from './loghub.ts'
import { findCommand, requireCommand, requireThat, type Skippable } from './requires.ts'
import { failedStart, type SpawnOptions, spawnBroker } from './spawn-broker.ts'
import { makeTempDirectory, tempDirectory } from './temp-directory.ts'

describe('temporary directories', () => {
  test('they are new, empty, and gone afterwards', async () => {
    const first = await makeTempDirectory()
    let second: string
    {
      await using directory = await makeTempDirectory()
      second = directory.path
      expect(second).not.toBe(first.path)
      await mkdir(directory.file('a', 'b'), { recursive: true })
      await writeFile(directory.file('a', 'b', 'c'), 'x')
    }
    expect([existsSync(first.path), existsSync(second)]).toEqual([true, false])
    await first.remove()
    await first.remove()
    expect(existsSync(first.path)).toBe(false)
  })

  test('a free port can be listened on', async () => {
    const port = await freePort()
    const server = createServer().listen(port, '127.0.0.1')
    await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject))
    server.close()
  })
})

describe('corpus', () => {
  test('joining lines gives the bytes back, but for a missing last LF', () => {
    const bytes = fc.array(fc.constantFrom(0x0a, 0x0a, 0x0d, 0x61, 0xff, 0x00))
    fc.assert(
      fc.property(bytes, input => {
        const original = Buffer.from(input)
        const lines = splitLines(original)
        const isOpen = original.length > 0 && original.at(-1) !== 0x0a
        const expected = isOpen ? Buffer.concat([original, Buffer.from('\n')]) : original
        expect(joinLines(lines)).toEqual(expected)
        expect(lines.every(line => !line.includes(0x0a))).toBe(true)
      }),
    )
  })

  test('the committed corpus is as awkward as it claims', () => {
    const corpus = loadCommittedCorpus()
    const lines = linesOf(corpus)
    expect(corpus.files.map(file => [file.name, file.lines.length])).toEqual([
      ['application.log', 160],
      ['awkward.log', 101],
      ['long-line.log', 40],
    ])
    expect(lines.filter(line => line.at(-1) === 0x0d).length).toBeGreaterThan(150)
    expect(lines.some(line => line.length === 0)).toBe(true)
    expect(lines.some(line => line.equals(Buffer.from('\r')))).toBe(true)
    expect(lines.some(line => line.length > 65_536)).toBe(true)
    expect(lines.some(line => line.includes('日本語'))).toBe(true)
    const isNoUtf8 = (line: Buffer) => !Buffer.from(line.toString('utf8'), 'utf8').equals(line)
    expect(lines.some(isNoUtf8)).toBe(true)
    expect(corpus.files.some(file => file.bytes.at(-1) !== 0x0a)).toBe(true)
  })

  test('there is a corpus on every machine, loghub where it lies beside the checkout', async () => {
    const corpus = loadCorpus()
    expect(corpus.files.length).toBeGreaterThan(0)
    for (const file of corpus.files) {
      expect(file.bytes).toEqual(await readFile(file.path))
      expect(file.lines.length).toBeGreaterThan(30)
    }
    if (corpus.origin === 'loghub') expect(linesOf(corpus).length).toBeGreaterThan(15_000)
  })
})

describe('requirements', () => {
  /** What vitest's skip does: remembers the note and leaves the test. */
  function recordSkips() {
    const notes: (string | undefined)[] = []
    const context: Skippable = {
      skip(note) {
        notes.push(note)
        throw new Error('skipped')
      },
    }
    return { notes, context }
  }

  test('a missing part skips with the command that brings it', () => {
    const { notes, context } = recordSkips()
    const need = () =>
      requireThat(context, false, 'kcat is not installed', 'apt-get install kcat', {})
    expect(need).toThrow('skipped')
    expect(notes).toEqual(['kcat is not installed; to run this test: apt-get install kcat'])
  })

  test('with CI=true a missing part fails instead', () => {
    const { notes, context } = recordSkips()
    const need = () => requireThat(context, false, 'x is missing', 'make x', { CI: 'true' })
    expect(need).toThrow(/CI=true.*x is missing.*make x/)
    expect(notes).toEqual([])
  })

  test('a present part goes on, CI or not', () => {
    const { notes, context } = recordSkips()
    requireThat(context, true, 'x is missing', 'make x', {})
    requireThat(context, true, 'x is missing', 'make x', { CI: 'true' })
    expect(notes).toEqual([])
  })

  test('commands are found on the PATH, and only executable files', async () => {
    const directory = await tempDirectory()
    await mkdir(join(directory, 'folder'))
    await writeFile(join(directory, 'plain'), '')
    await writeFile(join(directory, 'tool'), '#!/bin/sh\n')
    await chmod(join(directory, 'tool'), 0o755)
    const searchPath = `/nowhere::${directory}`
    expect(findCommand('tool', searchPath)).toBe(join(directory, 'tool'))
    for (const name of ['folder', 'plain', 'absent'])
      expect(findCommand(name, searchPath)).toBeNull()
    expect(requireCommand(recordSkips().context, 'sh')).toMatch(/\/sh$/)
  })
})

describe('spawned brokers', () => {
  const entry = fileURLToPath(new URL('./fake-broker.mjs', import.meta.url))
  const ready =
    'ready kafka=127.0.0.1:4001 http=127.0.0.1:4002 data=/tmp/with blank workers=2 in 187 ms\n'
  const options = (env: Record<string, string>): SpawnOptions => ({
    dataDirectory: '/tmp/with blank',
    args: ['--workers', '2'],
    entry,
    env,
  })

  test('a broker is ready when it says so, and its addresses are what it says', async () => {
    await using broker = await spawnBroker(options({ FAKE_STDOUT: ready }))
    expect(broker).toMatchObject({
      bootstrap: '127.0.0.1:4001',
      httpUrl: 'http://127.0.0.1:4002',
      dataDirectory: '/tmp/with blank',
      readyLine: ready.trimEnd(),
    })
    expect(broker.pid).toBe(broker.child.pid)
    expect(await broker.stop()).toBe(0)
    const args = ['start', '--kafka', '127.0.0.1:0', '--http', '127.0.0.1:0']
    args.push('--data-dir', '/tmp/with blank', '--workers', '2')
    expect(broker.stderr()).toBe(`arguments: ${JSON.stringify(args)}\n`)
    expect(broker.stdout()).toBe(ready)
    expect(await broker.stop()).toBe(0)
  })

  test('stop() gives the exit code, kill9() ends it without one', async () => {
    const failing = await spawnBroker(options({ FAKE_STDOUT: ready, FAKE_EXIT_CODE: '1' }))
    expect(await failing.stop()).toBe(1)
    const killed = await spawnBroker(options({ FAKE_STDOUT: ready }))
    await killed.kill9()
    expect(await killed.exited).toEqual({ code: null, signal: 'SIGKILL' })
    expect(await killed.stop()).toBeNull()
  })

  test('a start that fails says why', async () => {
    await expect(spawnBroker(options({ FAKE_END: 'exit' }))).rejects.toThrow(/exit 1.*\narguments/)
    await expect(spawnBroker(options({ FAKE_STDOUT: 'hello\n' }))).rejects.toThrow(/hello/)
    await expect(spawnBroker({ ...options({}), readyTimeoutMs: 500 })).rejects.toThrow(
      'no ready line within 500 ms',
    )
  })

  test('an expected failure gives exit code and output, a success is refused', async () => {
    const failed = await failedStart(options({ FAKE_END: 'exit' }))
    expect(failed).toMatchObject({ code: 1, signal: null, stdout: '' })
    expect(failed.stderr).toContain('arguments')
    await expect(failedStart(options({ FAKE_STDOUT: ready }))).rejects.toThrow('it serves')
  })
})
