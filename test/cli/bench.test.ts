/** `odradek bench` against a running broker, as a process: figures, topics gone, also after Ctrl-C. */
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import type { BenchRow } from '../../src/cli/bench-rows.ts'
import { Admin } from '../../src/client/admin.ts'
import { runCli, spawnCli } from './run-cli.ts'

const patience = { timeout: 30_000 }
/** A short load: over by messages long before its time. */
const short = '--messages 3000 --warmup 0 --duration 60'

let broker: Broker
let admin: Admin

beforeAll(async () => {
  broker = await startBroker({ workers: 1, logLevel: 'error' })
  admin = new Admin({ bootstrap: broker.bootstrap })
})
afterAll(async () => {
  await admin.close()
  await broker.close()
})

async function topicNames(): Promise<string[]> {
  return (await admin.listTopics()).map(({ name }) => name)
}

async function bench(command: string): Promise<string> {
  const { code, stdout, stderr } = await runCli(['bench', ...command.split(' ')])
  expect({ command, stderr, code }).toEqual({ command, stderr: '', code: 0 })
  return stdout.toString()
}

async function rowsOf(command: string): Promise<BenchRow[]> {
  const text = await bench(`${command} --json`)
  expect(text.trim().split('\n')).toHaveLength(1)
  return (JSON.parse(text) as { rows: BenchRow[] }).rows
}

test('wire: by the Kafka address alone', async () => {
  const [produced, consumed, ...others] = await rowsOf(
    `wire --target ${broker.bootstrap} --batch 10 --acks 1 --connections 2 --partitions 2 ${short}`,
  )
  expect(others).toEqual([])
  expect(produced).toMatchObject({
    ...{ mode: 'produce', driver: 'wire', flush: 'group-commit', acks: 1, connections: 2 },
    ...{ batch: 10, size: 200, brokerCpuPerMillion: null },
  })
  expect(produced!.messages).toBeGreaterThanOrEqual(3000)
  expect(produced!.messagesPerSecond).toBeGreaterThan(0)
  expect(consumed).toMatchObject({ mode: 'consume', pipelining: 1 })
  expect(consumed!.messages).toBeGreaterThanOrEqual(3000)
  expect(await topicNames()).toEqual([])
})

test('wire: the HTTP address tells the other one, and the CPU time', async () => {
  const config = '--config flush.policy=interval --config flush.messages=7'
  const [produced] = await rowsOf(`wire --target ${broker.httpUrl} --acks 0 ${config} ${short}`)
  expect(produced).toMatchObject({ acks: 0, batch: 50, flush: 'interval 7 / 3 s' })
  expect(produced!.brokerCpuPerMillion).toBeGreaterThan(0)
})

test('http: a table for people, without columns that say nothing', async () => {
  const text = await bench(
    `http --target ${broker.httpUrl} --pipelining 4 --connections 3 ${short}`,
  )
  const [head, titles, produced, consumed] = text.split('\n')
  expect(head).toContain(`${broker.bootstrap}, ${broker.httpUrl} `)
  expect(titles).toMatch(
    /^WHAT +DRIVER +BODY +FLUSH POLICY +ACKS +CONNS +PIPELINING +BATCH +MSG\/S/,
  )
  expect(produced).toMatch(
    /^produce +autocannon +octet-stream +group-commit +all +3 +4 +1 +[\d,]+ /,
  )
  expect(consumed).toMatch(/^consume +autocannon +ndjson +group-commit +3 +1 +\d+ +[\d,]+ /)
  expect(await topicNames()).toEqual([])
})

test('http: bodies of several records; --no-consume', async () => {
  const rows = await rowsOf(
    `http --target ${broker.httpUrl}/ --batch 20 --body lines --acks 1 --no-consume ${short}`,
  )
  expect(rows).toHaveLength(1)
  expect(rows[0]).toMatchObject({ body: 'lines', batch: 20, driver: 'http' })
})

test('--keep leaves the topic and names it', async () => {
  const args = `bench wire --target ${broker.bootstrap} --no-consume --keep ${short}`
  const { code, stderr } = await runCli(args.split(' '))
  expect(code).toBe(0)
  const [, name] = /^odradek: topic (odradek-bench-wire-\w+) is kept\n$/.exec(stderr) ?? []
  expect(await topicNames()).toEqual([name])
  await admin.deleteTopic(name!)
})

test('paper: its rows, with flush policy, acks, connections and pipelining', async () => {
  const rows = await rowsOf(`paper --target ${broker.httpUrl} --row paper --messages 2000`)
  const told = rows.map(({ driver, mode, connections, pipelining, batch, flush, acks, row }) => ({
    ...{ driver, mode, connections, pipelining, flush, acks, row },
    batch: mode === 'produce' ? batch : 0,
  }))
  const common = { row: 'paper', flush: 'interval 500 / 3 s', acks: 0 }
  const steps = (driver: string, connections: number, one: number, fifty: number) => [
    { ...common, driver, mode: 'produce', connections, pipelining: one, batch: 1 },
    { ...common, driver, mode: 'produce', connections, pipelining: fifty, batch: 50 },
    { ...common, driver, mode: 'consume', connections, pipelining: 1, batch: 0 },
  ]
  expect(told).toEqual([
    ...steps('wire', 1, 1024, 400),
    ...steps('http', 1, 10, 10),
    ...steps('http', 20, 10, 10),
  ])
  for (const { messages } of rows) expect(messages).toBeGreaterThanOrEqual(2000)
  expect(await topicNames()).toEqual([])
})

test('paper: a Kafka address alone is loaded over the wire alone', async () => {
  const text = await bench(`paper --target ${broker.bootstrap} --row acks=all --messages 2000`)
  expect(text).toMatch(/acks=all +produce +wire +group-commit +all +1 +1024 +1 /)
  expect(text).not.toContain('autocannon')
  expect(text).toContain('the paper, 2011: producer 50,000 msg/s at batch 1')
})

describe('Ctrl-C takes the topic away', () => {
  test.each([
    ['wire', () => `--target ${broker.bootstrap} --batch 1`],
    ['http', () => `--target ${broker.httpUrl} --connections 20 --pipelining 10`],
  ])('%s', async (what, args) => {
    const child = spawnCli(
      ['bench', what, '--duration', '600', '--messages', '999999999'].concat(args().split(' ')),
    )
    let stderr = ''
    child.stderr!.on('data', text => {
      stderr += String(text)
    })
    const name = () => topicNames().then(names => names.find(known => known.includes(what)))
    await expect.poll(name, patience).toBeDefined()
    const topic = await name()
    const end = () => admin.endOffsets(topic!).then(([offset]) => offset)
    await expect.poll(end, patience).toBeGreaterThan(100)
    child.kill('SIGINT')
    const [code] = await once(child, 'close')
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'odradek: interrupted, no figures\n' })
    expect(await topicNames()).toEqual([])
  })
})

test('a refusal fails with its words, and the topic is gone', async () => {
  const args = `bench http --target ${broker.httpUrl} --size 2000000 --duration 5`
  const { code, stderr } = await runCli(args.split(' '))
  expect(code).toBe(1)
  expect(stderr).toMatch(/^odradek: load generator: answer 413: .*after 0 answers\n$/)
  expect(await topicNames()).toEqual([])
})

test.each([
  ['wire --target 127.0.0.1:1', 1, 'no broker reached at 127.0.0.1:1'],
  ['http --target http://127.0.0.1:1', 1, 'no broker reached at http://127.0.0.1:1'],
  ['http --target 127.0.0.1:9092', 2, 'give a URL'],
  ['wire --target a:b:c', 2, 'give HOST:PORT'],
  ['http --body octet-stream --batch 2', 2, 'is one record a request'],
  ['http --body soap', 2, 'Allowed choices are octet-stream'],
  ['wire --duration soon', 2, 'It must be a number of seconds'],
  ['wire --acks 2', 2, 'It must be 0, 1 or all'],
  ['paper --row acks=2', 2, 'Allowed choices are paper'],
  ['wire --connections 0', 2, 'whole number from 1'],
  ['everything', 2, "unknown command 'everything'"],
])('bench %s: one line, exit %i', async (args, exitCode, message) => {
  const { code, stdout, stderr } = await runCli(['bench', ...args.split(' ')])
  expect({ code, stdout: stdout.toString() }).toEqual({ code: exitCode, stdout: '' })
  expect(stderr).toContain(message)
  expect(stderr.trim().split('\n')).toHaveLength(1)
})
