/** `odradek start` as a process: what it prints, how it ends. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { requireCommand } from '../support/requires.ts'
import { failedStart, spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runCli } from './run-cli.ts'

/** A bound for what must come, not an expectation of when. */
const patience = { timeout: 30_000 }

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Runs `action` in the broker's main thread at the moment it prints its ready line. */
function whenReady(action: string): NodeJS.ProcessEnv {
  const script = `
    import { isMainThread } from 'node:worker_threads'
    if (isMainThread) {
      const write = process.stdout.write
      process.stdout.write = function (text, ...rest) {
        if (String(text).startsWith('ready ')) setImmediate(() => { ${action} })
        return write.call(this, text, ...rest)
      }
    }`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` }
}

/** Whatever is left of a process that is nobody's child. */
function endProcess(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It is gone, as it should be.
  }
}

describe('odradek start', { timeout: 180_000 }, () => {
  test('prints one line on stdout, names what it was given, ends with 0 at a signal', async () => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      const dataDirectory = join(await tempDirectory(), 'sub', 'data')
      const broker = await spawnBroker({ dataDirectory, args: ['--workers', '1'] })
      expect(broker.readyLine).toMatch(
        /^ready kafka=127\.0\.0\.1:\d+ http=127\.0\.0\.1:\d+ data=.* workers=1 in \d+ ms$/,
      )
      expect(broker.readyLine).toContain(` data=${dataDirectory} `)
      expect((await fetch(`${broker.httpUrl}/readyz`)).status).toBe(200)
      broker.child.kill(signal)
      expect(await broker.exited).toEqual({ code: 0, signal: null })
      expect(broker.stdout()).toBe(`${broker.readyLine}\n`)
    }
  })

  test('what was produced is there after a restart, also after kill -9', async () => {
    const dataDirectory = await tempDirectory()
    const written: string[] = []
    for (const end of ['stop', 'kill9', 'stop'] as const) {
      const broker = await spawnBroker({ dataDirectory })
      const at = ['--bootstrap', broker.bootstrap]
      written.push(`before ${end}`)
      const produced = await runCli(['produce', 'lasting', ...at], { input: written.at(-1) })
      expect(produced).toMatchObject({ code: 0, stderr: '' })
      const { stdout } = await runCli(['consume', 'lasting', '--exit-at-end', ...at])
      expect(String(stdout).trimEnd().split('\n')).toEqual(written)
      await broker[end]()
    }
  })

  test('a second process on the same directory ends with 1 and names the first', async () => {
    const dataDirectory = await tempDirectory()
    await using broker = await spawnBroker({ dataDirectory })
    const second = await failedStart({ dataDirectory })
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toMatch(new RegExp(`^odradek: .*in use by pid ${broker.pid}.*\n$`))
  })

  test('a port in use ends with 1 and names the flag', async () => {
    await using broker = await spawnBroker({ dataDirectory: await tempDirectory() })
    const taken = ['--kafka', broker.bootstrap]
    const second = await failedStart({ dataDirectory: await tempDirectory(), args: taken })
    expect(second).toMatchObject({ code: 1, stdout: '' })
    expect(second.stderr).toContain(`${broker.bootstrap} is in use`)
    expect(second.stderr).toContain('--kafka')
  })

  test('a data directory that is a file ends with 1 and names it', async () => {
    const dataDirectory = join(await tempDirectory(), 'file')
    await writeFile(dataDirectory, '')
    const failed = await failedStart({ dataDirectory })
    expect(failed).toMatchObject({ code: 1, stdout: '' })
    expect(failed.stderr).toMatch(/^odradek: [^\n]*\n$/)
    expect(failed.stderr).toContain(dataDirectory)
  })

  test('file, environment and flags set it, the later wins', async () => {
    const folder = await tempDirectory()
    const file = join(folder, 'odradek.yaml')
    await writeFile(file, 'num.partitions: 2\nworkers: 3\n')
    await using broker = await spawnBroker({
      dataDirectory: join(folder, 'data'),
      args: ['--config', file, '--workers', '1'],
      env: { ODRADEK_NUM_PARTITIONS: '5' },
    })
    expect(broker.readyLine).toContain(' workers=1 ')
    const at = ['--bootstrap', broker.bootstrap]
    const { stdout } = await runCli(['topics', 'create', 't', ...at])
    expect(String(stdout)).toBe('created t with 5 partitions\n')
  })

  test('it ends cleanly when npx, whose shell tells nobody of a signal, is gone', async () => {
    const dataDirectory = await tempDirectory()
    const start = `start --kafka 127.0.0.1:0 --http 127.0.0.1:0 --data-dir ${dataDirectory}`
    const shell = spawn('sh', ['-c', `${process.execPath} ${root}src/main.ts ${start}; true`], {
      env: { ...process.env, npm_lifecycle_event: 'npx', npm_lifecycle_script: "'odradek' start" },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    let stdout = ''
    shell.stdout.on('data', chunk => {
      stdout += String(chunk)
    })
    await expect.poll(() => stdout, patience).toContain('ready ')
    const lock = await readFile(join(dataDirectory, 'odradek.lock'), 'utf8')
    onTestFinished(() => endProcess((JSON.parse(lock) as { pid: number }).pid))
    shell.kill('SIGTERM')
    // The broker holds the pipe's other end: it is closed when both are gone.
    await once(shell, 'close')
    expect(await readdir(dataDirectory)).toContain('.kafka_cleanshutdown')
  })

  test('a second signal ends it at once with 1', async () => {
    const broker = await spawnBroker({
      dataDirectory: await tempDirectory(),
      env: whenReady("process.emit('SIGTERM'); process.emit('SIGTERM')"),
    })
    expect(await broker.exited).toEqual({ code: 1, signal: null })
  })

  test.each([
    ['an error nobody caught', "throw new Error('planted')"],
    ['a rejection nobody handled', "void Promise.reject(new Error('planted'))"],
  ])('%s is logged and ends it with 1', async (_, action) => {
    const broker = await spawnBroker({
      dataDirectory: await tempDirectory(),
      env: whenReady(action),
    })
    expect(await broker.exited).toEqual({ code: 1, signal: null })
    const lines = broker.stderr().trim().split('\n')
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({
      level: 'fatal',
      err: { message: 'planted' },
      msg: 'the broker ends here',
    })
  })
})

describe('on a terminal', { timeout: 180_000 }, () => {
  test('after ready stand lines to copy and an address, and they work', async context => {
    const script = requireCommand(context, 'script', 'bsdutils')
    const dataDirectory = await tempDirectory()
    const start = `start --kafka 127.0.0.1:0 --http 127.0.0.1:0 --data-dir ${dataDirectory}`
    const command = `exec ${process.execPath} ${root}src/main.ts ${start} --log-level error`
    const child = spawn(script, ['-qefc', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    onTestFinished(() => void child.kill('SIGKILL'))
    let screen = ''
    child.stdout.on('data', chunk => {
      screen += String(chunk)
    })
    await expect.poll(() => screen, patience).toMatch(/page {6}\S.*\r\n/)
    const lines = screen.replaceAll('\r', '').trim().split('\n')
    expect(lines[0]).toMatch(/^ready /)
    const copied = new Map(lines.slice(1).map(line => [line.slice(2, 12).trim(), line.slice(12)]))
    expect([...copied.keys()]).toEqual(['produce', 'consume', 'load', 'look', 'page'])
    const shell = async (line: string) => {
      const path = `${join(process.execPath, '..')}:${process.env.PATH}`
      const env = { ...process.env, PATH: path }
      const run = spawn('sh', ['-ec', line], {
        cwd: root,
        env,
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let text = ''
      run.stdout.on('data', chunk => {
        text += String(chunk)
      })
      const [code] = (await once(run, 'close')) as [number]
      return { code, text }
    }
    expect(await shell(copied.get('produce')!)).toEqual({ code: 0, text: '' })
    const consume = `${copied.get('consume')} --exit-at-end`
    expect(await shell(consume)).toEqual({ code: 0, text: 'one\ntwo\n' })
    const load = copied.get('load')!.replace('1000000', '1000')
    expect(await shell(load)).toEqual({ code: 0, text: '' })
    const look = await shell(copied.get('look')!)
    expect(look).toEqual({ code: 0, text: expect.stringMatching(/^hello +2 /m) })
    expect((await fetch(copied.get('page')!)).status).toBe(200)
    // Ctrl-C, as a user ends it.
    child.stdin.write('\x03')
    const [code] = (await once(child, 'close')) as [number]
    expect(code).toBe(0)
  })
})
