/**
 * Start-up as a client sees it: from exec of `node dist/src/main.js start` to the first ApiVersions answer, timed by
 * this process, which dials the port every millisecond. Then the resident memory of the idle broker.
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { readProcessUsage } from '../src/load/process-usage.ts'
import { decodeResponse, encodeRequest } from '../src/load/wire-messages.ts'
import { ApiVersions } from '../src/protocol/messages/api-versions.ts'
import { track } from './server-process.ts'

const root = join(import.meta.dirname, '..')
const entry = join(root, 'dist/src/main.js')
const startTimeoutMs = 20_000
/** Long enough for what loads after the port answers (HTTP) to have loaded. */
const idleMs = 1_000

export interface StartFigures {
  readonly firstAnswerMs: number
  readonly idleRssMegabytes: number
  readonly threadCount: number
}

/** Builds dist/ when it is missing or older than a source file; says whether it did. */
export function ensureBuilt(): boolean {
  const sources = ['src', 'workers'].flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map(name =>
      join(root, folder, name),
    ),
  )
  const newestMs = Math.max(...sources.map(path => statSync(path).mtimeMs))
  if (existsSync(entry) && statSync(entry).mtimeMs > newestMs) return false
  const compiler = join(root, 'node_modules/.bin/tsc')
  execFileSync(compiler, ['-p', 'tsconfig.build.json'], { cwd: root, stdio: 'pipe' })
  return true
}

/** Starts the built broker once on a new data directory, times it, stops it. */
export async function measureStart(directory: string): Promise<StartFigures> {
  const port = await freePort()
  const startMs = performance.now()
  const child = spawn(
    process.execPath,
    [
      entry,
      'start',
      '--kafka',
      `127.0.0.1:${port}`,
      '--http',
      '127.0.0.1:0',
      '--data-dir',
      directory,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  )
  track(child)
  const exited = once(child, 'exit')
  try {
    await firstAnswer(port, startMs)
    const firstAnswerMs = performance.now() - startMs
    await new Promise(resolve => setTimeout(resolve, idleMs))
    const { rssBytes, threadCount } = readProcessUsage(child.pid!)
    return { firstAnswerMs, idleRssMegabytes: rssBytes / 1e6, threadCount }
  } finally {
    child.kill('SIGTERM')
    await exited
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Resolves at the first whole and good ApiVersions answer. */
async function firstAnswer(port: number, startMs: number): Promise<void> {
  const request = encodeRequest(ApiVersions, 3, 1, {
    clientSoftwareName: 'odradek-bench',
    clientSoftwareVersion: '1',
  })
  while (performance.now() - startMs < startTimeoutMs) {
    const frame = await ask(port, request)
    if (frame !== null) {
      const { response } = decodeResponse(ApiVersions, 3, frame)
      if (response.errorCode === 0 && response.apiKeys.length > 0) return
      throw new Error(`ApiVersions answered error ${response.errorCode}`)
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  throw new Error(`no ApiVersions answer within ${startTimeoutMs / 1000} s`)
}

/** The answer's frame, or null while nobody listens. */
function ask(port: number, request: Buffer): Promise<Buffer | null> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    let bytes = Buffer.alloc(0)
    socket.on('connect', () => socket.write(request))
    socket.on('data', chunk => {
      bytes = Buffer.concat([bytes, chunk])
      if (bytes.length < 4 || bytes.length < 4 + bytes.readInt32BE(0)) return
      socket.destroy()
      resolve(bytes)
    })
    socket.on('error', () => resolve(null))
    socket.on('close', () => resolve(null))
  })
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
