/** Partitions that change hands while records are buffered, in a reader's hands, or read by others meanwhile. */
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { SyncGroup } from '../../src/protocol/messages/sync-group.ts'
import { freePort } from '../support/free-port.ts'
import { numbersUpTo, produceNumbers, readInGroup, shared, sorted } from './group-kit.ts'

const patience = { timeout: 50_000 }

let broker: Broker
beforeAll(async () => {
  broker = await startBroker({ http: false, workers: 2, logLevel: 'silent' })
})
afterAll(() => broker?.close())

let topics = 0
/** A topic of its own with `count` numbers in it, and a group named like it. */
async function newTopic(
  partitions: number,
  count: number,
  bootstrap = broker.bootstrap,
): Promise<string> {
  const name = `handover-${++topics}`
  await using admin = new Admin({ bootstrap })
  await admin.createTopic({ name, partitions })
  await produceNumbers(bootstrap, name, [0, count], partitions)
  return name
}

/**
 * A broker whose clients all come through a proxy. `hold` keeps back the next SyncGroup of one client id until
 * `release`.
 */
async function brokerBehindProxy() {
  const brokerPort = await freePort()
  let heldClientId: string | null = null
  const held: (() => void)[] = []
  const sockets = new Set<net.Socket>()
  const server = net.createServer(client => {
    const upstream = net.connect(brokerPort, '127.0.0.1')
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
      })
    }
    upstream.pipe(client)
    client.on('data', chunk => {
      // A SyncGroup is a chunk of its own: nothing is sent before it is answered, and the one before was.
      const isSync = chunk.length > 14 && chunk.readInt16BE(4) === SyncGroup.key
      if (isSync && clientIdOf(chunk) === heldClientId) held.push(() => upstream.write(chunk))
      else upstream.write(chunk)
    })
  })
  await new Promise<void>(resolve => void server.listen(0, '127.0.0.1', resolve))
  const advertised = `127.0.0.1:${(server.address() as net.AddressInfo).port}`
  const set = { 'advertised.listeners': advertised }
  const kafka = `127.0.0.1:${brokerPort}`
  const proxied = await startBroker({ http: false, logLevel: 'silent', kafka, set })
  onTestFinished(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await proxied.close()
  })
  return {
    bootstrap: advertised,
    hold: (clientId: string) => {
      heldClientId = clientId
    },
    heldCount: () => held.length,
    release: () => {
      heldClientId = null
      for (const send of held.splice(0)) send()
    },
  }
}

/** Behind size, api key, version and correlation id stands the client id. */
const clientIdOf = (frame: Buffer) => frame.toString('utf8', 14, 14 + frame.readInt16BE(12))

describe('a partition that changes hands', () => {
  test('between two streams of one consumer: what was fetched and not handed out is fetched again', async () => {
    const topic = await newTopic(8, 1600)
    const onRecord = () => sleep(1)
    const a = await readInGroup(broker.bootstrap, topic, topic, {
      clientId: 'a',
      streamCount: 2,
      onRecord,
    })
    await expect.poll(() => a.numbers.length).toBeGreaterThan(10)
    const b = await readInGroup(broker.bootstrap, topic, topic, { clientId: 'b', onRecord })
    expect(a.numbers.length).toBeLessThan(1600)
    await shared([a, b], 8)
    expect(a.parts).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ])
    const read = () => [...a.numbers, ...b.numbers]
    await expect.poll(() => new Set(read()).size, patience).toBe(1600)
    expect(sorted(read())).toEqual(numbersUpTo(1600))
  })

  test('with a record in hand that is not done in time: its new owner is handed that record too', async () => {
    const topic = await newTopic(2, 20)
    const gate = Promise.withResolvers<void>()
    const slow = await readInGroup(broker.bootstrap, topic, topic, {
      clientId: 'm',
      revokeGraceMs: 0,
      autoCommitMs: 10,
      onRecord: () => gate.promise,
    })
    await expect.poll(() => slow.records.length).toBe(1)
    const [{ partition }] = slow.records
    const clientId = partition === 0 ? 'a' : 'z'
    const other = await readInGroup(broker.bootstrap, topic, topic, { clientId })
    await expect.poll(() => other.parts).toEqual([[partition]])
    const part = (index: number) => numbersUpTo(20).filter(number => number % 2 === index)
    await expect.poll(() => other.numbers).toEqual(part(partition))
    gate.resolve()
    await expect.poll(() => slow.numbers.slice(1)).toEqual(part(1 - partition))
  })

  test('with a record in hand that is done in time: nobody is handed a record twice', async () => {
    const topic = await newTopic(2, 20)
    const gate = Promise.withResolvers<void>()
    const onRecord = () => gate.promise
    const slow = await readInGroup(broker.bootstrap, topic, topic, { clientId: 'm', onRecord })
    await expect.poll(() => slow.records.length).toBe(1)
    const clientId = slow.records[0].partition === 0 ? 'a' : 'z'
    const joining = readInGroup(broker.bootstrap, topic, topic, { clientId })
    await expect.poll(() => slow.warnings.join()).toContain('rebalances')
    gate.resolve()
    const other = await joining
    const read = () => [...slow.numbers, ...other.numbers]
    await expect.poll(() => new Set(read()).size).toBe(20)
    expect(sorted(read())).toEqual(numbersUpTo(20))
  })

  test('is not read by its first owner while the group shares anew', async () => {
    const topic = await newTopic(2, 20_000)
    const gate = Promise.withResolvers<void>()
    // Slow, so that it is not done before the other one comes.
    let isSlow = true
    const first = await readInGroup(broker.bootstrap, topic, topic, {
      onRecord: () => (isSlow ? sleep(2) : new Promise<void>(setImmediate)),
      onRebalance: ({ kind }) => (kind === 'revoked' ? gate.promise : undefined),
    })
    await expect.poll(() => first.numbers.length).toBeGreaterThan(10)
    const joining = readInGroup(broker.bootstrap, topic, topic)
    await expect.poll(() => first.warnings.join()).toContain('rebalances')
    await sleep(20)
    const before = first.numbers.length
    expect(before).toBeLessThan(20_000)
    await sleep(50)
    expect(first.numbers.length).toBe(before)
    isSlow = false
    gate.resolve()
    const second = await joining
    const read = () => [...first.numbers, ...second.numbers]
    await expect.poll(() => new Set(read()).size, patience).toBe(20_000)
    expect(read()).toHaveLength(20_000)
  })

  test('and back, in a generation that its first owner missed: it goes on where the second one stopped', async () => {
    const { bootstrap, hold, heldCount, release } = await brokerBehindProxy()
    const topic = await newTopic(3, 30, bootstrap)
    const join = (clientId: string) => readInGroup(bootstrap, topic, topic, { clientId })
    const leader = await join('m')
    await expect.poll(() => leader.numbers.length).toBe(30)
    const late = await join('z')
    await shared([leader, late], 3)
    expect(late.parts).toEqual([[2]])
    await produceNumbers(bootstrap, topic, [30, 60], 3)
    await expect.poll(() => leader.numbers.length + late.numbers.length).toBe(60)
    hold('z')
    const third = await join('zz')
    await expect.poll(() => third.parts).toEqual([[2]])
    await expect.poll(heldCount).toBe(1)
    await produceNumbers(bootstrap, topic, [60, 90], 3)
    const thirdPart = numbersUpTo(90).filter(number => number >= 60 && number % 3 === 2)
    await expect.poll(() => third.numbers).toEqual(thirdPart)
    await third.close()
    release()
    await shared([leader, late], 3)
    await produceNumbers(bootstrap, topic, [90, 120], 3)
    const read = () => [leader, late, third].flatMap(({ numbers }) => numbers)
    await expect.poll(() => new Set(read()).size).toBe(120)
    expect(sorted(read())).toEqual(numbersUpTo(120))
  })
})
