/** The data directory: lock against other processes, identity, clean mark, and what it says when it cannot be used. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { DataDirectory, DataDirectoryError } from '../../src/data-directory.ts'
import { DirectoryLock } from '../../src/data-directory-lock.ts'
import { tempDirectory } from '../support/temp-directory.ts'

async function refusal(path: string, brokerId = 0): Promise<string> {
  const opened = await DataDirectory.open(path, brokerId).catch((error: unknown) => error)
  if (opened instanceof DataDirectory) await opened.close()
  expect(opened).toBeInstanceOf(DataDirectoryError)
  const { message } = opened as Error
  expect(message).not.toContain('\n')
  return message
}

/** Another process that holds the directory until it is killed. */
async function holdElsewhere(path: string): Promise<ChildProcess> {
  const module = new URL('../../src/data-directory.ts', import.meta.url).href
  const program = `const { DataDirectory } = await import('${module}')
    const directory = await DataDirectory.open(process.argv[1], 0)
    console.log('held', await directory.takeCleanMark())
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  const [line] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer]
  expect(line.toString()).toMatch(/^held/)
  return child
}

test('a directory is made with its parents, and keeps its cluster id', async () => {
  const path = join(await tempDirectory(), 'a', 'b')
  const first = await DataDirectory.open(path, 7)
  expect(first.clusterId).toMatch(/^[\w-]{22}$/)
  expect(await readFile(join(path, 'meta.properties'), 'utf8')).toContain(
    `broker.id=7\ncluster.id=${first.clusterId}\n`,
  )
  await first.close()
  const second = await DataDirectory.open(path, 7)
  expect(second.clusterId).toBe(first.clusterId)
  await second.close()
  expect(await readdir(path), 'nothing of lock and probe stays').toEqual(['meta.properties'])
})

test.skipIf(process.platform !== 'linux')(
  'a place where nothing can be made is refused, not waited for',
  async () => {
    expect(await refusal('/proc/odradek/data')).toContain('/proc/odradek/data cannot be made there')
  },
)

test('the clean mark is there once, and only after it was put', async () => {
  const path = await tempDirectory()
  const first = await DataDirectory.open(path, 0)
  expect(await first.takeCleanMark()).toBe(false)
  await first.putCleanMark()
  await first.close()
  const second = await DataDirectory.open(path, 0)
  expect(await second.takeCleanMark()).toBe(true)
  expect(await second.takeCleanMark()).toBe(false)
  await second.close()
})

test('a second holder, in this process or another, is refused with the pid', async () => {
  const path = await tempDirectory()
  const mine = await DataDirectory.open(path, 0)
  expect(await refusal(path)).toContain(`is in use by pid ${process.pid}:`)
  await mine.close()
  const child = await holdElsewhere(path)
  expect(await refusal(path)).toContain(`is in use by pid ${child.pid}:`)
})

test('the lock of a killed process is taken over', async () => {
  const path = await tempDirectory()
  const child = await holdElsewhere(path)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await readdir(path)).toContain('odradek.lock')
  const mine = await DataDirectory.open(path, 0)
  expect(await refusal(path)).toContain(`pid ${process.pid}:`)
  await mine.close()
})

test('lock files are judged by who wrote them', async () => {
  const path = await tempDirectory()
  const lock = join(path, 'odradek.lock')
  const mine = await DataDirectory.open(path, 0)
  const self = JSON.parse(await readFile(lock, 'utf8'))
  await mine.close()
  const elsewhere = { ...self, host: 'elsewhere', system: 'other-boot pid:[1]', nonce: 'x' }
  const old = new Date(Date.now() - 60_000)
  const cases: [what: string, holder: unknown, touched: Date, held: boolean][] = [
    ['this very process', self, old, true],
    ['an earlier process of the same pid', { ...self, startTime: '1' }, new Date(), false],
    ['another container, beating', elsewhere, new Date(), true],
    ['another container, silent', elsewhere, old, false],
    ['this host before its reboot', { ...elsewhere, host: self.host }, new Date(), false],
    ['a writer that died while writing', '{"pid":', new Date(), false],
  ]
  for (const [what, holder, touched, held] of cases) {
    await writeFile(lock, typeof holder === 'string' ? holder : JSON.stringify(holder))
    await utimes(lock, touched, touched)
    const opened = await DataDirectory.open(path, 0).catch((error: Error) => error)
    if (opened instanceof DataDirectory) await opened.close()
    expect(opened instanceof DataDirectoryError, what).toBe(held)
    await rm(lock, { force: true })
  }
})

test('of many that replace a stale lock at once, one gets it, also without the socket', async () => {
  const path = await tempDirectory()
  for (const useSocket of [true, false, false, false]) {
    const stale = { pid: 2 ** 22 + 1, startTime: '1', system: '', host: 'gone', nonce: 'x' }
    await writeFile(join(path, 'odradek.lock'), JSON.stringify(stale))
    await utimes(join(path, 'odradek.lock'), 1, 1)
    const results = await Promise.all(
      Array.from({ length: 6 }, () =>
        DirectoryLock.acquire(path, useSocket).catch((error: Error) => error),
      ),
    )
    const winners = results.filter(result => result instanceof DirectoryLock)
    expect(winners).toHaveLength(1)
    await winners[0].release()
    expect(await readdir(path)).toEqual([])
  }
})

test('another broker id is refused, with the cure', async () => {
  const path = await tempDirectory()
  await DataDirectory.open(path, 3).then(directory => directory.close())
  expect(await refusal(path, 4)).toMatch(/belongs to broker 3.*--broker-id 3/)
})

test('a damaged, foreign or missing identity is refused and nothing is changed', async () => {
  const ours = 'version=0\nbroker.id=0\ncluster.id=abcdefghijklmnopqrstuv\nodradek.format=1\n'
  const cases: [string, RegExp][] = [
    ['', /meta\.properties is damaged/],
    ['\0'.repeat(80), /meta\.properties is damaged/],
    [ours.slice(0, -10), /written by Apache Kafka|damaged/],
    [ours.replace('broker.id=0', 'broker.id=x'), /damaged/],
    [ours.replace('format=1', 'format=9'), /format 9/],
    ['version=1\nnode.id=1\ncluster.id=abcdefghijklmnopqrstuv\n', /written by Apache Kafka/],
  ]
  for (const [text, message] of cases) {
    const path = await tempDirectory()
    await writeFile(join(path, 'meta.properties'), text)
    expect(await refusal(path)).toMatch(message)
    expect(await readFile(join(path, 'meta.properties'), 'utf8')).toBe(text)
  }
  const path = await tempDirectory()
  await mkdir(join(path, 'events-0'))
  expect(await refusal(path)).toMatch(/holds events-0 but no meta\.properties/)
})

test('a path that is or goes through a file is refused by name', async () => {
  const path = join(await tempDirectory(), 'file')
  await writeFile(path, '')
  expect(await refusal(path)).toContain(`data directory ${path} is a file`)
  expect(await refusal(join(path, 'below'))).toMatch(/is or lies below a file/)
})

test('a directory this user may not write is refused by name', async () => {
  const path = await tempDirectory()
  await chmod(path, 0o555)
  // Root may write everywhere, so root becomes nobody for a moment.
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65534)
  try {
    expect(await refusal(path)).toContain(`data directory ${path} may not be written by this user`)
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})
