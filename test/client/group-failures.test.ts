/**
 * Groups when members and brokers fail: processes that are killed or stopped, a broker that is killed and comes back.
 * At least once: whatever happens, what all members printed together covers what was produced.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { freePort } from '../support/free-port.ts'
import { spawnBroker } from '../support/spawn-broker.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { numbersUpTo, produceNumbers, readInGroup, shared, sorted } from './group-kit.ts'

const partitions = 8
const topic = 'sequence'
const groupId = 'group'
const program = fileURLToPath(new URL('group-process.ts', import.meta.url))
const patience = { timeout: 50_000 }

async function createTopic(bootstrap: string): Promise<void> {
  await using admin = new Admin({ bootstrap })
  await admin.createTopic({ name: topic, partitions })
}

async function start(): Promise<Broker> {
  const set = { 'group.min.session.timeout.ms': 200 }
  const broker = await startBroker({ http: false, workers: 2, logLevel: 'silent', set })
  onTestFinished(() => broker.close())
  await createTopic(broker.bootstrap)
  return broker
}

/** A member in a process of its own. */
async function startMember(bootstrap: string, options: object = {}) {
  const terms = { sessionTimeoutMs: 1500, heartbeatMs: 50, autoCommitMs: 50 }
  const all = { bootstrap, groupId, topic, streamCount: 1, workMs: 0, ...terms, ...options }
  const child = spawn(process.execPath, [program, JSON.stringify(all)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const closed = once(child, 'close')
  let out = ''
  child.stdout.on('data', chunk => {
    out += chunk
  })
  const kill9 = async () => {
    child.kill('SIGKILL')
    await closed
  }
  onTestFinished(kill9)
  /** Whole lines only: a killed process may have printed half of one. */
  const told = (kind: string) =>
    out
      .slice(0, out.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(line => line.startsWith(`${kind} `))
      .map(line => line.slice(kind.length + 1))
  await expect.poll(() => told('ready').length, patience).toBe(1)
  return { child, told, kill9, numbers: () => told('number').map(Number), closed }
}

describe('a member that dies', () => {
  test('with kill -9 again and again: nothing is lost, and only what it had not committed comes twice', async () => {
    const { bootstrap } = await start()
    const survivor = await readInGroup(bootstrap, groupId, topic, { clientId: 'm' })
    const dead: number[] = []
    let produced = 0
    for (let round = 0; round < 3; round++) {
      // On both sides of the survivor in the order of members.
      const clientId = round % 2 === 0 ? 'a' : 'z'
      const victim = await startMember(bootstrap, { clientId, streamCount: 1 + round, workMs: 1 })
      await produceNumbers(bootstrap, topic, [produced, produced + 1600], partitions)
      produced += 1600
      const before = victim.numbers().length
      await expect.poll(() => victim.numbers().length, patience).toBeGreaterThan(before + 50)
      await victim.kill9()
      dead.push(...victim.numbers())
    }
    const union = () => new Set([...dead, ...survivor.numbers])
    await expect.poll(() => union().size, patience).toBe(produced)
    expect(sorted(union())).toEqual(numbersUpTo(produced))
    // The survivor itself was never handed a record twice: its place was its own all the time, or was committed.
    expect(new Set(survivor.numbers).size).toBe(survivor.numbers.length)
    await shared([survivor], partitions)
  })

  test('is replaced after its session timeout, by members that were there and one that comes', async () => {
    const { bootstrap } = await start()
    const first = await readInGroup(bootstrap, groupId, topic, { streamCount: 2 })
    const victim = await startMember(bootstrap, { streamCount: 2, workMs: 5 })
    await produceNumbers(bootstrap, topic, [0, 800], partitions)
    await expect.poll(() => victim.numbers().length, patience).toBeGreaterThan(20)
    await victim.kill9()
    const next = await readInGroup(bootstrap, groupId, topic)
    await shared([first, next], partitions)
    const union = () => new Set([...victim.numbers(), ...first.numbers, ...next.numbers])
    await expect.poll(() => sorted(union()), patience).toEqual(numbersUpTo(800))
  })

  test('or only seems to: stopped beyond its session timeout it commits nothing, and joins again', async () => {
    const { bootstrap, parts } = await start()
    const sleeper = await startMember(bootstrap, { workMs: 2, sessionTimeoutMs: 500 })
    await produceNumbers(bootstrap, topic, [0, 1600], partitions)
    await expect.poll(() => sleeper.numbers().length, patience).toBeGreaterThan(50)
    sleeper.child.kill('SIGSTOP')
    const other = await readInGroup(bootstrap, groupId, topic)
    await shared([other], partitions)
    await expect.poll(() => other.numbers.length, patience).toBeGreaterThan(1000)
    sleeper.child.kill('SIGCONT')
    const members = () => parts.services.groups.describe(groupId).members.length
    await expect.poll(members, patience).toBe(2)
    await expect.poll(() => sleeper.told('warning').join('\n'), patience).toMatch(/dropped|lost/)
    await produceNumbers(bootstrap, topic, [1600, 3200], partitions)
    const union = () => new Set([...sleeper.numbers(), ...other.numbers])
    await expect.poll(() => union().size, patience).toBe(3200)
  })
})

describe('a broker that dies', () => {
  test('and comes back twice: the group goes on from its committed offsets', async () => {
    const dataDirectory = await tempDirectory()
    const args = ['--kafka', `127.0.0.1:${await freePort()}`]
    let broker = await spawnBroker({ dataDirectory, args })
    onTestFinished(() => broker.kill9())
    const { bootstrap } = broker
    await createTopic(bootstrap)
    const options = { autoCommitMs: 20, streamCount: 2, sessionTimeoutMs: 10_000 }
    const readers = [
      await readInGroup(bootstrap, groupId, topic, options),
      await readInGroup(bootstrap, groupId, topic, options),
    ]
    await shared(readers, partitions)
    const read = () => readers.flatMap(({ numbers }) => numbers)
    for (let round = 0; round < 3; round++) {
      await produceNumbers(bootstrap, topic, [round * 400, round * 400 + 400], partitions)
      await expect.poll(() => new Set(read()).size, patience).toBe(round * 400 + 400)
      if (round === 2) break
      await broker.kill9()
      broker = await spawnBroker({ dataDirectory, args })
    }
    expect(sorted(new Set(read()))).toEqual(numbersUpTo(1200))
    await Promise.all(readers.map(reader => reader.close()))
    // All was committed: a newcomer finds nothing to do.
    const late = await readInGroup(bootstrap, groupId, topic, { untilEnd: true })
    await late.done
    expect(late.numbers).toEqual([])
    const warnings = readers.flatMap(reader => reader.warnings)
    expect(warnings.join('\n')).toMatch(/trying again/)
  })

  test('while a group is being joined: the join goes through when it is back', async () => {
    const dataDirectory = await tempDirectory()
    const args = ['--kafka', `127.0.0.1:${await freePort()}`]
    let broker = await spawnBroker({ dataDirectory, args })
    onTestFinished(() => broker.kill9())
    const { bootstrap } = broker
    await createTopic(bootstrap)
    await produceNumbers(bootstrap, topic, [0, 80], partitions)
    await broker.kill9()
    const joining = readInGroup(bootstrap, groupId, topic)
    broker = await spawnBroker({ dataDirectory, args })
    const reader = await joining
    await expect.poll(() => sorted(reader.numbers), patience).toEqual(numbersUpTo(80))
  })

  test('and stays away: close ends all the same', async () => {
    const broker = await spawnBroker({ dataDirectory: await tempDirectory() })
    onTestFinished(() => broker.kill9())
    await createTopic(broker.bootstrap)
    const reader = await readInGroup(broker.bootstrap, groupId, topic)
    await produceNumbers(broker.bootstrap, topic, [0, 8], partitions)
    await expect.poll(() => reader.numbers.length, patience).toBe(8)
    await broker.kill9()
    await reader.close()
    await reader.done
  })
})
