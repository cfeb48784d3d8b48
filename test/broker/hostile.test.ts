/**
 * A broker of its own process under attack: random frames, frames that are almost right, hostile names and lengths,
 * with an honest client beside them. Oracle (RELIABILITY section 4): the process lives, the honest client sees no error
 * and loses nothing, memory stays bounded, all that attackers held is given back, and no file outside the data
 * directory is ever open for writing. ODRADEK_FUZZ multiplies the number of frames.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import net from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { zeroUuid } from '../../src/protocol/bytes.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CreateTopics } from '../../src/protocol/messages/create-topics.ts'
import { Fetch } from '../../src/protocol/messages/fetch.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { parsePrometheus } from '../http/prometheus-text.ts'
import { schemas } from '../protocol/schemas.ts'
import { readGolden } from '../support/kafka-json.ts'
import { type SpawnedBroker, spawnBroker } from '../support/spawn-broker.ts'
import { makeTempDirectory, type TempDirectory } from '../support/temp-directory.ts'
import { WireClient } from '../support/wire-client.ts'
import { batchOf, createTopic, fetchRequest, produce, readAll, store } from './fixture.ts'

const MIB = 1024 * 1024
const effort = Number(process.env.ODRADEK_FUZZ ?? 1)
const attackers = 40
const settings = {
  'request.arena.bytes': 8 * MIB,
  'response.arena.bytes': 8 * MIB,
  'socket.request.max.bytes': 2 * MIB,
  'fetch.max.bytes': 2 * MIB,
  'max.partitions': 64,
  'connection.stall.timeout.ms': 2000,
}
/**
 * Beyond the arenas, which may be touched to the last page. With forty attackers at a time an idle process grows by 60
 * to 75 MiB, most of it V8's young generation, and stays there.
 */
const growthBytesMax = 96 * MIB

let directory: TempDirectory
let broker: SpawnedBroker

beforeAll(async () => {
  directory = await makeTempDirectory()
  const args = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`])
  args.push('--workers', '2', '--log-level', 'warn')
  broker = await spawnBroker({ dataDirectory: directory.file('data'), args })
})

afterAll(async () => {
  await broker.stop()
  await directory.remove()
})

/** The same sequence in every run: a failure can be looked at again. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed | 1
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}
type Random = ReturnType<typeof randomFrom>

function randomBytes(random: Random, size: number): Buffer {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = random(256)
  return bytes
}

function frameOf(payload: Uint8Array): Buffer {
  const frame = Buffer.alloc(4 + payload.length)
  frame.writeInt32BE(payload.length)
  frame.set(payload, 4)
  return frame
}

/** Key, version, correlation id and client id, the tags of newer headers included, and then `body`. */
function request(apiKey: number, apiVersion: number, flexible: number, body: Uint8Array): Buffer {
  const clientId = Buffer.from('attacker')
  const header = Buffer.alloc(10 + clientId.length + (apiVersion >= flexible ? 1 : 0))
  header.writeInt16BE(apiKey, 0)
  header.writeInt16BE(apiVersion, 2)
  header.writeInt32BE(77, 4)
  header.writeInt16BE(clientId.length, 8)
  header.set(clientId, 10)
  return frameOf(Buffer.concat([header, body]))
}

/** Sends bytes and leaves: when the broker closes, after it answered, or after a short while. */
async function attack(bytes: Uint8Array, abruptly: boolean): Promise<void> {
  const colon = broker.bootstrap.lastIndexOf(':')
  const socket = net.connect(Number(broker.bootstrap.slice(colon + 1)), '127.0.0.1')
  socket.on('error', () => {})
  const gone = new Promise<void>(resolve => {
    socket.once('close', () => resolve())
  })
  const left = new Promise<void>(resolve => {
    socket.once('data', () => resolve())
    setTimeout(resolve, 30)
  })
  socket.write(bytes)
  await Promise.race([gone, left])
  if (abruptly) socket.resetAndDestroy()
  else socket.destroy()
  await gone
}

/** All of `frames`, by many attackers at a time. */
async function attackWith(frames: Iterable<Uint8Array>): Promise<number> {
  const left = frames[Symbol.iterator]()
  let count = 0
  const worker = async (): Promise<void> => {
    for (let next = left.next(); next.done !== true; next = left.next()) {
      count++
      await attack(next.value, count % 3 === 0)
    }
  }
  await Promise.all(Array.from({ length: attackers }, worker))
  return count
}

/** An honest client that writes, reads back and looks around until it is told to stop. */
class Canary {
  topic = ''
  count = 0
  #isOver = false
  #done: Promise<void> = Promise.resolve()
  readonly #client: WireClient

  private constructor(client: WireClient) {
    this.#client = client
  }

  static async start(): Promise<Canary> {
    const canary = new Canary(await WireClient.connect(broker.bootstrap))
    canary.topic = await createTopic(canary.#client)
    await canary.#step()
    canary.#done = canary.#run()
    // The test looks at it when it stops the canary.
    canary.#done.catch(() => {})
    return canary
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await this.#done
    const values = (await readAll(this.#client, this.topic)).map(({ value }) => String(value))
    expect(values).toEqual(Array.from({ length: this.count }, (_, i) => `canary ${i}`))
    this.#client.close()
  }

  async #run(): Promise<void> {
    while (!this.#isOver) await this.#step()
  }

  async #step(): Promise<void> {
    const value = `canary ${this.count}`
    expect(await store(this.#client, this.topic, batchOf([value]))).toBe(this.count)
    const message = fetchRequest(this.topic, { offset: this.count, maxWaitMs: 10_000 })
    const answer = await this.#client.request(Fetch, 12, message)
    const row = answer.responses[0]?.partitions[0]
    expect(row?.errorCode).toBe(Errors.NONE)
    expect(Buffer.from(row?.records ?? []).includes(value)).toBe(true)
    this.count++
  }
}

function residentBytes(): number {
  const status = readFileSync(`/proc/${broker.pid}/status`, 'latin1')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}

/** Regular files that the broker may write to now. */
function writableFiles(): string[] {
  const found: string[] = []
  for (const fd of readdirSync(`/proc/${broker.pid}/fd`)) {
    try {
      const path = readlinkSync(`/proc/${broker.pid}/fd/${fd}`)
      const info = readFileSync(`/proc/${broker.pid}/fdinfo/${fd}`, 'latin1')
      const flags = Number.parseInt(/^flags:\s+(\d+)$/m.exec(info)?.[1] ?? '0', 8)
      if (path.startsWith('/') && !path.startsWith('/dev/') && (flags & 3) !== 0) found.push(path)
    } catch {
      // Closed between two looks.
    }
  }
  return found
}

/** Notes what must never be seen, while `work` goes on. */
async function watched(work: () => Promise<void>): Promise<void> {
  const isLinux = process.platform === 'linux'
  const outside = new Set<string>()
  const before = isLinux ? residentBytes() : 0
  let most = 0
  const look = (): void => {
    if (!isLinux) return
    most = Math.max(most, residentBytes())
    for (const path of writableFiles()) {
      if (!path.startsWith(`${broker.dataDirectory}/`)) outside.add(path)
    }
  }
  const timer = setInterval(look, 20)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  expect([...outside]).toEqual([])
  const arenas = settings['request.arena.bytes'] + settings['response.arena.bytes']
  expect(most - before).toBeLessThan(growthBytesMax + arenas)
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text()
  const samples = parsePrometheus(text).get(`odradek_${name}`)?.samples ?? []
  return samples.reduce((sum, { value }) => sum + value, 0)
}

/** What attackers held is free again, and nothing but the data directory was made. */
async function untilClean(): Promise<void> {
  for (const name of ['connections', 'requests_in_flight', 'purgatory_size', 'arena_used_bytes']) {
    await expect.poll(() => metric(name), { timeout: 30_000 }).toBe(0)
  }
  expect(readdirSync(directory.path)).toEqual(['data'])
  const names = readdirSync(broker.dataDirectory).filter(name => !name.startsWith('.'))
  const wellFormed = /^([a-zA-Z0-9._-]{1,249}-\d+|[a-z0-9.-]+|__proto__-\d+)$/
  expect(names.filter(name => !wellFormed.test(name))).toEqual([])
  expect(broker.child.exitCode).toBe(null)
  expect(broker.stderr().length).toBeLessThan(MIB)
}

async function underAttack(work: () => Promise<void>): Promise<void> {
  const canary = await Canary.start()
  await watched(work)
  await canary.stop()
  expect(canary.count).toBeGreaterThan(2)
  await untilClean()
}

function* garbage(count: number): Generator<Buffer> {
  const random = randomFrom(4711)
  const apis = schemas.map(({ key, versions, flexible }) => ({ key, versions, flexible }))
  for (let i = 0; i < count; i++) {
    const body = randomBytes(random, random(random(2) === 0 ? 40 : 1500))
    const api = apis[random(apis.length)]
    if (i % 3 === 0 || api === undefined) yield frameOf(body)
    else yield request(api.key, random(api.versions[1] + 2), api.flexible, body)
  }
}

/** Golden requests with bytes changed, inserted, removed, or cut off. */
function* mutants(perCase: number): Generator<Buffer> {
  const random = randomFrom(1234)
  const bad = [0x00, 0x7f, 0x80, 0xff, 0x01]
  for (const api of schemas) {
    for (const { side, version, hex } of readGolden(api.name).cases) {
      if (side !== 'request') continue
      const golden = Buffer.from(hex, 'hex')
      for (let i = 0; i < perCase; i++) {
        let body = Buffer.from(golden)
        const at = random(body.length + 1)
        if (i % 3 === 0) body = body.subarray(0, at)
        else if (i % 3 === 1) {
          for (let edit = 0; edit <= random(4); edit++) {
            body[random(body.length)] = bad[random(bad.length)] ?? 0
          }
        } else {
          const extra = randomBytes(random, random(20))
          body = Buffer.concat([body.subarray(0, at), extra, body.subarray(at + random(20))])
        }
        yield request(api.key, version, api.flexible, body)
      }
    }
  }
}

describe('attacks', { timeout: 300_000 }, () => {
  test('random frames', async () => {
    await underAttack(async () => {
      expect(await attackWith(garbage(20_000 * effort))).toBe(20_000 * effort)
    })
  })

  test('requests that are almost right', async () => {
    await underAttack(async () => {
      expect(await attackWith(mutants(20 * effort))).toBeGreaterThan(1500)
    })
  })

  test('lengths that lie, frames that never end, streams that are cut anywhere', async () => {
    const message = { topics: [], timeoutMs: 1, validateOnly: false }
    const client = await WireClient.connect(broker.bootstrap)
    const whole = client.frame({ schema: CreateTopics, version: 5, message }, { correlationId: 1 })
    client.close()
    const sizes = [-1, -0x8000_0000, 0, 1, 7, 8, 2 * MIB, 2 * MIB + 1, 0x7fff_ffff, 0x4745_5420]
    function* frames(): Generator<Buffer> {
      const random = randomFrom(99)
      for (let round = 0; round < 200 * effort; round++) {
        for (const size of sizes) {
          const frame = Buffer.concat([Buffer.alloc(4), randomBytes(random, random(70_000))])
          frame.writeInt32BE(size)
          yield frame
        }
        yield Buffer.concat([whole, whole, whole.subarray(0, random(whole.length))])
      }
    }
    await underAttack(async () => {
      await attackWith(frames())
    })
  })
})

describe('names', () => {
  const illegal = [
    '../../evil',
    '/absolute',
    '.',
    '..',
    'a/b',
    'a\\b',
    'nul\0l',
    'cr\r\nlf',
    'ansi\u001b[31m',
    'caf\u00e9',
    '\u2028',
    ' ',
    '',
    'a'.repeat(250),
  ]

  test('that are illegal make nothing, whichever request carries them', async () => {
    const before = readdirSync(broker.dataDirectory).length
    const client = await WireClient.connect(broker.bootstrap)
    for (const name of illegal) {
      const topic = {
        name,
        numPartitions: 1,
        replicationFactor: 1,
        assignments: [],
        configs: [],
      }
      const message = { topics: [topic], timeoutMs: 10_000, validateOnly: false }
      const created = await client.request(CreateTopics, 7, message)
      expect(created.topics[0]?.errorCode).toBe(Errors.INVALID_TOPIC_EXCEPTION)
      const metadata = await client.request(Metadata, 9, {
        topics: [{ topicId: zeroUuid, name }],
        allowAutoTopicCreation: true,
        includeClusterAuthorizedOperations: false,
        includeTopicAuthorizedOperations: false,
      })
      expect(metadata.topics[0]?.errorCode).not.toBe(Errors.NONE)
      const row = await produce(client, name, batchOf(['x']))
      expect([Errors.UNKNOWN_TOPIC_OR_PARTITION, Errors.INVALID_TOPIC_EXCEPTION]).toContain(
        row.errorCode,
      )
    }
    client.close()
    expect(readdirSync(broker.dataDirectory).length).toBe(before)
    expect(readdirSync(directory.path)).toEqual(['data'])
  })

  test('that only look odd are topics like any other', async () => {
    const client = await WireClient.connect(broker.bootstrap)
    for (const name of ['__proto__', 'constructor', 'toString', '...', 'a'.repeat(249)]) {
      const topic = { name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }
      const message = { topics: [topic], timeoutMs: 10_000, validateOnly: false }
      const created = await client.request(CreateTopics, 7, message)
      // An attacker may have made it before.
      expect([Errors.NONE, Errors.TOPIC_ALREADY_EXISTS]).toContain(created.topics[0]?.errorCode)
      await store(client, name, batchOf([`in ${name}`]))
      const values = (await readAll(client, name)).map(({ value }) => String(value))
      expect(values.at(-1)).toBe(`in ${name}`)
    }
    client.close()
  })
})

test('a batch may claim anything about itself: it is refused or stored as it came', async () => {
  const client = await WireClient.connect(broker.bootstrap)
  const topic = await createTopic(client)
  const random = randomFrom(31)
  const good = batchOf(['one', 'two', 'three'])
  const stored: string[] = []
  for (let i = 0; i < 1500 * effort; i++) {
    const batch = Buffer.from(good)
    for (let edit = 0; edit <= random(3); edit++) batch[random(61)] = random(256)
    const row = await produce(
      client,
      topic,
      random(4) === 0 ? batch.subarray(0, random(80)) : batch,
    )
    if (row.errorCode === Errors.NONE) stored.push(batch.subarray(61).toString('hex'))
  }
  const records = await readAll(client, topic)
  expect(records.length).toBe(3 * stored.length)
  client.close()
})
