/** kcat as a client: every call is a run of the program, a member is one `kcat -G` that stays. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { findCommand } from '../../support/requires.ts'
import { kcat } from '../kcat.ts'
import type {
  Client,
  ClientDriver,
  ConsumeArgs,
  Hello,
  MemberArgs,
  Polled,
  ProduceArgs,
  ReadRecord,
  TestRecord,
} from './driver.ts'

const noAdmin = 'kcat has no administrative commands'

function helloOf(): Hello {
  const { stdout, stderr } = spawnSync('kcat', ['-V'], { encoding: 'utf8' })
  const [, kcatVersion] = /^Version (\S+)/m.exec(`${stdout}${stderr}`) ?? []
  const [, library] = /librdkafka ([\d.]+)/.exec(`${stdout}${stderr}`) ?? []
  return {
    name: 'kcat',
    version: `${kcatVersion} (librdkafka ${library})`,
    cannot: {
      createTopic: noAdmin,
      deleteTopic: noAdmin,
      deleteRecords: noAdmin,
      deleteGroup: noAdmin,
      describeGroup: noAdmin,
      commit: 'kcat commits by its timer and on leaving',
    },
  }
}

const settings = (
  ...pairs: readonly (readonly [name: string, value?: string | number | boolean])[]
) => pairs.flatMap(([name, value]) => (value === undefined ? [] : ['-X', `${name}=${value}`]))

/** Between records, and between key and value; no test record contains them. */
const recordEnd = Buffer.from('\x1e\x1d\x1e')
const keyEnd = Buffer.from('\x1f\x1d\x1f')
const escaped = (bytes: Buffer) => bytes.toString('latin1').replaceAll(/./gs, hexOf)
const hexOf = (one: string) => `\\x${one.charCodeAt(0).toString(16).padStart(2, '0')}`

/** What one run of kcat can send: the same partition, headers, and all of them with a key or none. */
function runsOf(records: readonly TestRecord[]): TestRecord[][] {
  const runs: TestRecord[][] = []
  let last = ''
  for (const record of records) {
    const { partition, headers, key } = record
    const kind = JSON.stringify([partition, headers ?? [], key === null])
    if (kind !== last) runs.push([])
    last = kind
    runs.at(-1)?.push(record)
  }
  return runs
}

async function produce(bootstrap: string, args: ProduceArgs): Promise<void> {
  const { topic, codec, acks, idempotent, maxRecordBytes, autoCreate, timeoutMs } = args
  const options = settings(
    ['compression.codec', codec],
    ['acks', acks],
    ['enable.idempotence', idempotent],
    ['message.max.bytes', maxRecordBytes],
    ['allow.auto.create.topics', autoCreate],
    ['topic.metadata.propagation.max.ms', timeoutMs],
  )
  for (const run of runsOf(args.records)) {
    const [{ partition, headers, key }] = run
    const delimiters = ['-D', escaped(recordEnd), ...(key === null ? [] : ['-K', escaped(keyEnd)])]
    const where = partition === undefined ? [] : ['-p', `${partition}`]
    const named = (headers ?? []).flatMap(([name, value]) => ['-H', `${name}=${value}`])
    const input = Buffer.concat(run.flatMap(bytesOf))
    await kcat(bootstrap, ['-P', '-t', topic, ...where, ...named, ...delimiters, ...options], input)
  }
}

/** No delimiter after the last one would do too, but not if it is empty. */
const bytesOf = ({ key, value }: TestRecord) => [
  ...(key === null ? [] : [key, keyEnd]),
  value ?? Buffer.alloc(0),
  recordEnd,
]

/** A line of numbers and headers, then the bytes of key and value. */
const format = ['-f', '%p %o %T %K %S %h\\n%k%s']

/** @returns whole records at the front of `bytes`, and what is left. */
function parsed(bytes: Buffer): { records: ReadRecord[]; rest: Buffer } {
  const records: ReadRecord[] = []
  let at = 0
  for (;;) {
    const lineEnd = bytes.indexOf('\n', at)
    if (lineEnd < 0) break
    const [numbers, headers] = splitAfterNumbers(String(bytes.subarray(at, lineEnd)))
    const [partition, offset, timestampMs, keyBytes, valueBytes] = numbers
    const keyAt = lineEnd + 1
    const valueAt = keyAt + Math.max(keyBytes, 0)
    const end = valueAt + Math.max(valueBytes, 0)
    if (end > bytes.length) break
    const key = keyBytes < 0 ? null : bytes.subarray(keyAt, valueAt)
    const value = valueBytes < 0 ? null : bytes.subarray(valueAt, end)
    records.push({ partition, offset, timestampMs, key, value, headers })
    at = end
  }
  return { records, rest: bytes.subarray(at) }
}

function splitAfterNumbers(line: string): [number[], ReadRecord['headers']] {
  const words = line.split(' ')
  const pairs = words.slice(5).join(' ').split(',').filter(Boolean)
  const headers = pairs.map(pair => {
    const at = pair.indexOf('=')
    return [pair.slice(0, at), Buffer.from(pair.slice(at + 1))] as const
  })
  return [words.slice(0, 5).map(Number), headers]
}

async function consume(bootstrap: string, args: ConsumeArgs): Promise<readonly ReadRecord[]> {
  const { topic, partitions, from, count } = args
  const where = partitions.length === 1 ? ['-p', `${partitions[0]}`] : []
  const start =
    from === 'earliest' ? 'beginning' : 'offset' in from ? from.offset : `s@${from.timeMs}`
  const read = ['-C', '-t', topic, ...where, '-o', `${start}`, '-c', `${count}`, '-q']
  const { records } = parsed(await kcat(bootstrap, [...read, ...format]))
  return records.slice(0, count)
}

/** Memberships that still run; a test process that ends takes its own with it. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

class Member {
  private readonly child: ChildProcess
  private readonly closed: Promise<unknown>
  private bytes = Buffer.alloc(0)
  private said = ''
  private lastLines: string[] = []
  private polled: Polled = { records: [], assignment: [], rebalances: 0 }

  constructor(bootstrap: string, { groupId, topic, ...args }: MemberArgs) {
    const options = settings(
      ['auto.offset.reset', 'earliest'],
      ['group.instance.id', args.instanceId],
      ['session.timeout.ms', args.sessionTimeoutMs],
      ['enable.auto.commit', args.autoCommit],
    )
    // Without -E kcat ends when the broker is away for a moment.
    const patience = args.outlivesBroker ? ['-E'] : []
    const run = ['-b', bootstrap, ...patience, ...options, '-u', ...format, '-G', groupId, topic]
    this.child = spawn('kcat', run, { stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this.child)
    this.closed = once(this.child, 'close').then(() => running.delete(this.child))
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk])
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.said += text
      this.followRebalances()
    })
  }

  /** `% Group g rebalanced (memberid m): assigned: topic [0], topic [3]`, or revoked. */
  private followRebalances(): void {
    const lines = this.said.split('\n')
    this.said = lines.pop() ?? ''
    this.lastLines = [...this.lastLines, ...lines].slice(-5)
    for (const line of lines) {
      const [, how, list] = /rebalanced \(.*?\): (assigned|revoked):(.*)$/.exec(line) ?? []
      if (how === undefined) continue
      const named = [...list.matchAll(/\[(\d+)\]/g)].map(([, partition]) => Number(partition))
      const assignment = how === 'assigned' ? named.toSorted((a, b) => a - b) : []
      const rebalances = this.polled.rebalances + (how === 'assigned' ? 1 : 0)
      this.polled = { ...this.polled, assignment, rebalances }
    }
  }

  /** A record may have come in part: then there is a wait too. */
  async poll(maxWaitMs: number): Promise<Polled> {
    const endMs = performance.now() + maxWaitMs
    for (;;) {
      const { records, rest } = parsed(this.bytes)
      this.bytes = Buffer.from(rest)
      if (records.length > 0 || performance.now() > endMs) return { ...this.polled, records }
      if (!running.has(this.child)) throw new Error(`kcat has ended: ${this.lastLines.join('; ')}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }

  /** SIGTERM makes it commit and leave. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.child.kill(signal)
    await this.closed
  }
}

interface Topics {
  readonly topics: readonly { readonly topic: string; readonly partitions: readonly unknown[] }[]
}

async function metadata(bootstrap: string, ...more: readonly string[]): Promise<Topics> {
  return JSON.parse(String(await kcat(bootstrap, ['-L', '-J', ...more]))) as Topics
}

const refuse = async () => {
  throw new Error(noAdmin)
}

function openKcat(bootstrap: string): Client {
  let member: Member | null = null
  const end = async (signal: NodeJS.Signals) => {
    await member?.end(signal)
    member = null
  }
  return {
    hello: helloOf(),
    createTopic: refuse,
    deleteTopic: refuse,
    deleteRecords: refuse,
    listGroups: refuse,
    describeGroup: refuse,
    deleteGroup: refuse,
    memberCommit: refuse,
    listTopics: async () => (await metadata(bootstrap)).topics.map(({ topic }) => topic),
    describeTopic: async ({ topic }) => {
      const { topics } = await metadata(bootstrap, '-t', topic)
      return { partitions: topics[0].partitions.length }
    },
    produce: async args => {
      await produce(bootstrap, args)
      return { offsets: null }
    },
    consume: args => consume(bootstrap, args),
    memberStart: async args => {
      member = new Member(bootstrap, args)
    },
    memberPoll: async ({ maxWaitMs }) => {
      if (member === null) throw new Error('no member was started')
      return await member.poll(maxWaitMs)
    },
    memberStop: () => end('SIGTERM'),
    close: () => end('SIGKILL'),
    kill: () => end('SIGKILL'),
  }
}

export const kcatDriver: ClientDriver = {
  id: 'kcat',
  title: 'kcat',
  missing: () =>
    findCommand('kcat') === null ? ['kcat is not installed', 'apt-get install kcat'] : null,
  open: async bootstrap => openKcat(bootstrap),
}
