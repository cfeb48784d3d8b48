/** `odradek consume --group`: what was printed is committed, and nothing else, however it ends. */
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { committedOffsets, numbersUpTo, produceNumbers, sorted } from '../client/group-kit.ts'
import { runCli, spawnCli } from './run-cli.ts'

const patience = { timeout: 50_000 }

let broker: Broker
beforeAll(async () => {
  broker = await startBroker({ http: false, logLevel: 'silent' })
})
afterAll(() => broker?.close())

let topics = 0
/** A topic of its own with `count` numbers in it; its group is named like it. */
async function newTopic(partitions: number, count: number): Promise<string> {
  const name = `cli-${++topics}`
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.createTopic({ name, partitions })
  await produceNumbers(broker.bootstrap, name, [0, count], partitions)
  return name
}

const argsOf = (topic: string, flags: string) => [
  ...['consume', topic, '--group', topic, '--bootstrap', broker.bootstrap],
  ...flags.split(' ').filter(Boolean),
]

async function consumed(topic: string, flags: string): Promise<number[]> {
  const { code, stdout, stderr } = await runCli(argsOf(topic, flags))
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return linesOf(stdout)
}

const linesOf = (bytes: Buffer | string) => String(bytes).split('\n').filter(Boolean).map(Number)
const committed = (topic: string) => committedOffsets(broker.bootstrap, topic, topic)

/** A member that runs until something ends it. */
function start(topic: string, flags = '') {
  const child = spawnCli(argsOf(topic, flags))
  onTestFinished(() => void child.kill('SIGKILL'))
  let out = ''
  child.stdout!.on('data', chunk => {
    out += chunk
  })
  child.stderr!.resume()
  const closed = once(child, 'close')
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    const [code] = await closed
    return code as number | null
  }
  return { child, end, closed, numbers: () => linesOf(out.slice(0, out.lastIndexOf('\n') + 1)) }
}

describe('consume --group', () => {
  test('goes on where it stopped; --from holds only where nothing is committed', async () => {
    const topic = await newTopic(3, 30)
    expect(await consumed(topic, '--from 4 --exit-at-end')).toHaveLength(18)
    expect(await committed(topic)).toEqual([10, 10, 10])
    await produceNumbers(broker.bootstrap, topic, [30, 36], 3)
    expect(sorted(await consumed(topic, '--from beginning --exit-at-end'))).toEqual([
      30, 31, 32, 33, 34, 35,
    ])
    expect(await consumed(topic, '--from beginning --exit-at-end')).toEqual([])
  })

  test('--max-messages commits exactly what it printed', async () => {
    const topic = await newTopic(1, 100)
    expect(await consumed(topic, '--max-messages 7')).toEqual(numbersUpTo(7))
    expect(await committed(topic)).toEqual([7])
    expect(await consumed(topic, '--max-messages 1')).toEqual([7])
    expect(await committed(topic)).toEqual([8])
    expect(await consumed(topic, '--exit-at-end')).toEqual(numbersUpTo(100).slice(8))
    expect(await committed(topic)).toEqual([100])
  })

  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s: exit 0, what was printed is committed',
    async signal => {
      const topic = await newTopic(2, 20)
      const member = start(topic)
      await expect.poll(() => member.numbers().length, patience).toBe(20)
      expect(await member.end(signal)).toBe(0)
      expect(await committed(topic)).toEqual([10, 10])
      expect(await consumed(topic, '--exit-at-end')).toEqual([])
    },
  )

  test('a reader that goes (head): exit 0, and every line that it did not get comes again', async () => {
    const topic = await newTopic(1, 200_000)
    const { child, closed, numbers } = start(topic)
    await once(child.stdout!, 'data')
    child.stdout!.destroy()
    expect(await closed).toEqual([0, null])
    const [offset] = await committed(topic)
    // What the pipe took was written; what came after was not.
    expect(offset).toBeLessThan(200_000)
    const rest = await consumed(topic, '--exit-at-end')
    expect(rest).toEqual(numbersUpTo(200_000).slice(Math.max(offset, 0)))
    expect(numbers().length).toBeGreaterThan(0)
  })

  test('kill -9 in the middle: the next member prints all that was not printed', async () => {
    const topic = await newTopic(4, 80_000)
    const args = '--format %v'
    const killed = start(topic, args)
    // Its output is read no further: it comes to a stop somewhere.
    const { stdout } = killed.child
    stdout!.once('data', () => stdout!.pause())
    await expect.poll(() => killed.numbers().length, patience).toBeGreaterThan(0)
    const ended = killed.end('SIGKILL')
    stdout!.resume()
    await ended
    expect(killed.numbers().length).toBeLessThan(80_000)
    const next = start(topic, args)
    const union = () => new Set([...killed.numbers(), ...next.numbers()])
    await expect.poll(() => union().size, patience).toBe(80_000)
    expect(await next.end('SIGINT')).toBe(0)
    // At most what the killed one had printed and not committed.
    const rest = await consumed(topic, '--exit-at-end')
    const printed = new Set(killed.numbers())
    expect(rest.filter(number => !printed.has(number))).toEqual([])
    expect(await committed(topic)).toEqual([20_000, 20_000, 20_000, 20_000])
  })

  test('two members share the topic, and tell of it', async () => {
    const topic = await newTopic(4, 40)
    const members = [start(topic), start(topic)]
    const size = () => {
      const { state, members: rows } = broker.parts.services.groups.describe(topic)
      return state === 'Stable' ? rows.length : 0
    }
    await expect.poll(size, patience).toBe(2)
    await produceNumbers(broker.bootstrap, topic, [40, 400], 4)
    const read = () => members.flatMap(({ numbers }) => numbers())
    await expect.poll(() => new Set(read()).size, patience).toBe(400)
    const ends = await Promise.all(members.map(({ end }) => end('SIGINT')))
    expect(ends).toEqual([0, 0])
    expect(sorted(read())).toEqual(numbersUpTo(400))
    const late = members.map(({ numbers }) => numbers().filter(number => number >= 40).length)
    expect(Math.min(...late)).toBeGreaterThan(0)
  })
})
