/**
 * A client in a process of its own, which speaks the lines of driver.ts. What it writes to stderr is kept for the
 * message of a failure. A call that is not answered in time kills the process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type Calls, type Client, type ClientDriver, ClientError, type Hello } from './driver.ts'
import { fromLine, toLine } from './wire.ts'

export interface ProcessDriverOptions extends Pick<ClientDriver, 'id' | 'title' | 'missing'> {
  /** Program and arguments; asked only when nothing is missing. */
  readonly command: () => readonly string[]
  readonly env?: NodeJS.ProcessEnv
}

export function processDriver({ command, env, ...driver }: ProcessDriverOptions): ClientDriver {
  return { ...driver, open: bootstrap => openProcess(driver.id, command(), env, bootstrap) }
}

/** Bounds, not expectations. */
const callTimeoutMs = 120_000
const closeTimeoutMs = 10_000
const stderrCharactersMax = 4000

interface Answer {
  readonly id: number
  readonly result?: unknown
  readonly error?: { readonly name: string; readonly message: string; readonly code?: number }
}

const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

class Conversation {
  readonly name: string
  readonly exited: Promise<void>
  private readonly child: ChildProcess
  private readonly waiting = new Map<number, PromiseWithResolvers<unknown>>()
  private lastId = 0
  private stderr = ''

  constructor(
    name: string,
    [program, ...args]: readonly string[],
    env: NodeJS.ProcessEnv | undefined,
  ) {
    const child = spawn(program, args, { stdio: 'pipe', env: { ...process.env, ...env } })
    this.child = child
    this.name = name
    running.add(child)
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-stderrCharactersMax)
    })
    // One that died reads nothing more; its end is told below.
    child.stdin.on('error', () => undefined)
    createInterface(child.stdout).on('line', line => this.take(line))
    const failed = once(child, 'error').then(([error]) => this.end(`${error}`))
    const closed = once(child, 'close').then(([code, signal]) =>
      this.end(`ended (${code ?? signal})`),
    )
    this.exited = Promise.race([failed, closed])
  }

  async ask(call: string, args: object = {}): Promise<unknown> {
    if (!running.has(this.child)) throw new Error(`${this.name}: ${call} of a client that ended`)
    const id = ++this.lastId
    const answer = Promise.withResolvers<unknown>()
    this.waiting.set(id, answer)
    this.child.stdin?.write(toLine({ id, call, args }))
    const timer = setTimeout(() => {
      answer.reject(this.trouble(`no answer to ${call} within ${callTimeoutMs} ms`))
      void this.kill()
    }, callTimeoutMs)
    try {
      return await answer.promise
    } finally {
      clearTimeout(timer)
      this.waiting.delete(id)
    }
  }

  async close(): Promise<void> {
    const bye = this.ask('bye').catch(() => undefined)
    const timer = setTimeout(() => void this.kill(), closeTimeoutMs)
    await bye
    this.child.stdin?.end()
    await this.exited
    clearTimeout(timer)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.exited
  }

  private take(line: string): void {
    const { id, result, error } = this.parsed(line)
    const answer = this.waiting.get(id)
    if (error === undefined) answer?.resolve(result)
    else answer?.reject(new ClientError(error.name, error.message, error.code))
  }

  private parsed(line: string): Answer {
    try {
      return fromLine(line) as Answer
    } catch {
      const trouble = this.trouble(`not an answer: ${line.slice(0, 200)}`)
      for (const { reject } of this.waiting.values()) reject(trouble)
      return { id: -1 }
    }
  }

  private end(how: string): void {
    running.delete(this.child)
    for (const { reject } of this.waiting.values()) reject(this.trouble(how))
  }

  private trouble(what: string): Error {
    return new Error(`${this.name}: ${what}\n${this.stderr}`)
  }
}

async function openProcess(
  name: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv | undefined,
  bootstrap: string,
): Promise<Client> {
  const conversation = new Conversation(name, command, env)
  const hello = (await conversation.ask('hello', { bootstrap })) as Hello
  const ask = <Name extends keyof Calls>(call: Name) =>
    ((args: object) => conversation.ask(call, args)) as Calls[Name]
  return {
    hello,
    createTopic: ask('createTopic'),
    deleteTopic: ask('deleteTopic'),
    listTopics: ask('listTopics'),
    describeTopic: ask('describeTopic'),
    produce: ask('produce'),
    consume: ask('consume'),
    deleteRecords: ask('deleteRecords'),
    listGroups: ask('listGroups'),
    describeGroup: ask('describeGroup'),
    deleteGroup: ask('deleteGroup'),
    memberStart: ask('memberStart'),
    memberPoll: ask('memberPoll'),
    memberCommit: ask('memberCommit'),
    memberStop: ask('memberStop'),
    close: () => conversation.close(),
    kill: () => conversation.kill(),
  }
}
