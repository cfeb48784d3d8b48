/** `odradek status` as a process against a real broker. */
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { StatusJson } from '../../src/http/status-routes.ts'
import { batchOf, connect, createTopic, sharedBroker, store } from '../broker/fixture.ts'
import { runCli, spawnCli } from './run-cli.ts'

const broker = sharedBroker({ http: true })

async function filledTopic(): Promise<string> {
  const client = await connect(broker())
  const topic = await createTopic(client, { partitions: 4 })
  await store(client, topic, batchOf(Array(30).fill('a record')), { partition: 2 })
  // An answer may be a second old.
  await expect.poll(() => recordsShown(topic)).toBe('30')
  return topic
}

async function recordsShown(topic: string): Promise<string | null | undefined> {
  const answer = await fetch(`${broker().httpUrl}/v1/status`)
  const { topics } = (await answer.json()) as StatusJson
  return topics.find(one => one.topic === topic)?.records
}

const args = (...more: string[]) => ['status', '--admin', broker().httpUrl ?? '', ...more]

/** Starts it; stopped when the test ends. */
function watch(...more: string[]) {
  const child = spawnCli(args('--watch', ...more))
  onTestFinished(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  })
  return createInterface({ input: child.stdout! })
}

describe('odradek status', () => {
  test('shows the broker, its workers, its topics', async () => {
    const topic = await filledTopic()
    const { code, stdout, stderr } = await runCli(args())
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const text = String(stdout)
    expect(text).toMatch(/^odradek \d+\.\d+\.\d+, broker 0 at 127\.0\.0\.1:\d+, ready\nup \d+ s, /)
    // Rates are there at the first try.
    expect(text).toMatch(/, [\d.]+ messages\/s in, [\d.]+ out, /)
    expect(text).toMatch(/^WORKER +LOAD +PARTITIONS +IN\/S /m)
    expect(text).toMatch(/^owner-0 +\d+ % +\d+ +[\d.]+ /m)
    const row = text.split('\n').find(line => line.startsWith(topic))
    expect(row).toMatch(/ 30 +[\d.]+ K?i?B +.*owner-0: \d,\d {2}owner-1: \d,\d$/)
  })

  test('--json is the answer of /v1/status', async () => {
    const topic = await filledTopic()
    const { code, stdout } = await runCli(args('--json'))
    expect(code).toBe(0)
    const status = JSON.parse(String(stdout)) as StatusJson
    expect(status.rates).not.toBeNull()
    expect(status.topics.find(one => one.topic === topic)?.records).toBe('30')
    expect(status.workers).toHaveLength(2)
  })

  test('--watch goes on, as lines of JSON and as text', async () => {
    const topic = await filledTopic()
    const times: string[] = []
    for await (const line of watch('--json')) {
      const { time, topics } = JSON.parse(line) as StatusJson
      times.push(time)
      if (times.length > 2 && topics.some(one => one.topic === topic)) break
    }
    expect(new Set(times).size).toBeGreaterThan(2)
    let heads = 0
    for await (const line of watch()) {
      // In a pipe nothing steers a terminal.
      expect(line).not.toContain('\x1b')
      if (line.startsWith('odradek ') && ++heads === 2) break
    }
    expect(heads).toBe(2)
  })

  test('says so when there is no broker', async () => {
    const { code, stdout, stderr } = await runCli(['status', '--admin', 'http://127.0.0.1:9'])
    expect({ code, stdout: String(stdout) }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(
      /^odradek: no broker reached at http:\/\/127\.0\.0\.1:9 .*--admin URL.*\n$/,
    )
  })
})
