/** What scenarios play on: a broker in a process of its own, the client under test, members of groups, the log. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Admin } from '../../../src/client/admin.ts'
import { Producer } from '../../../src/client/producer.ts'
import { batches } from '../../../src/protocol/records.ts'
import { freePort } from '../../support/free-port.ts'
import { type SpawnedBroker, spawnBroker } from '../../support/spawn-broker.ts'
import { makeTempDirectory, type TempDirectory } from '../../support/temp-directory.ts'
import type { Ability, Client, ClientDriver, MemberArgs, ReadRecord } from './driver.ts'

export interface Scenario {
  /** In the recorded results. */
  readonly id: string
  /** In the table. */
  readonly title: string
  readonly needs: readonly Ability[]
  run(stage: Stage): Promise<void>
}

/** A bound for machines under load, not an expectation. */
const patienceMs = 90_000

export async function until(
  condition: () => boolean,
  what: () => string,
  timeoutMs = patienceMs,
): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`in vain for ${timeoutMs} ms: ${what()}`)
    await new Promise(resolve => setTimeout(resolve, 50))
  }
}

/** A running member, polled all the time from its start to its end. */
export class TestMember {
  readonly records: ReadRecord[] = []
  assignment: readonly number[] = []
  rebalances = 0
  private isOver = false
  private failure: unknown = null
  /** Calls of one process come one after the other. */
  private last: Promise<unknown> = Promise.resolve()
  private readonly client: Client

  constructor(client: Client) {
    this.client = client
  }

  async start(args: MemberArgs): Promise<void> {
    await this.client.memberStart(args)
    void this.poll()
  }

  commit(): Promise<void> {
    return this.inTurn(() => this.client.memberCommit({}))
  }

  /** Leaves the group. */
  async stop(): Promise<void> {
    if (this.isOver) return
    this.isOver = true
    try {
      await this.inTurn(() => this.client.memberStop({}))
    } finally {
      await this.client.close()
    }
  }

  async kill(): Promise<void> {
    this.isOver = true
    await this.client.kill()
  }

  /** @throws what a poll of it threw. */
  check(): void {
    if (this.failure !== null) throw this.failure
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const mine = this.last.catch(() => undefined).then(work)
    this.last = mine
    return mine
  }

  private async poll(): Promise<void> {
    while (!this.isOver) {
      try {
        const polled = await this.inTurn(() => this.client.memberPoll({ maxWaitMs: 200 }))
        this.records.push(...polled.records)
        this.assignment = polled.assignment
        this.rebalances = polled.rebalances
      } catch (error) {
        // The end of a member that is killed or stopped is no failure.
        if (!this.isOver) this.failure = error
        return
      }
    }
  }
}

export class Stage {
  readonly driver: ClientDriver
  private readonly directory: TempDirectory
  private readonly args: readonly string[]
  private broker: SpawnedBroker
  private open: Client | null = null
  private members: TestMember[] = []
  private names = 0

  private constructor(
    driver: ClientDriver,
    directory: TempDirectory,
    args: readonly string[],
    broker: SpawnedBroker,
  ) {
    this.driver = driver
    this.directory = directory
    this.args = args
    this.broker = broker
  }

  /** A fresh broker with its defaults, save what `settings` (NAME=VALUE) say. */
  static async set(driver: ClientDriver, settings: readonly string[] = []): Promise<Stage> {
    const directory = await makeTempDirectory('odradek-compatibility-')
    const kafka = ['--kafka', `127.0.0.1:${await freePort()}`]
    const args = [...kafka, ...settings.flatMap(setting => ['--set', setting])]
    const broker = await spawnBroker({ dataDirectory: directory.path, args })
    return new Stage(driver, directory, args, broker)
  }

  /** The client under test, the same one until it fails so badly that it has to be killed. */
  async client(): Promise<Client> {
    this.open ??= await this.driver.open(this.broker.bootstrap)
    return this.open
  }

  can(ability: Ability): boolean {
    return this.open?.hello.cannot[ability] === undefined
  }

  newName(): string {
    return `${this.driver.id}-${++this.names}`
  }

  /** A topic made by our own client, for scenarios about something else. */
  async topic(partitions: number, name = this.newName()): Promise<string> {
    await using admin = new Admin({ bootstrap: this.broker.bootstrap })
    await admin.createTopic({ name, partitions })
    return name
  }

  /** Values `from`...`to - 1` as text by our own client, spread over the partitions in turn. */
  async fill(topic: string, partitions: number, from: number, to: number): Promise<void> {
    await using producer = new Producer({ bootstrap: this.broker.bootstrap, acks: 'all' })
    const numbers = Array.from({ length: to - from }, (_, i) => from + i)
    const records = numbers.map(value => ({ value: `${value}`, partition: value % partitions }))
    await producer.send(topic, records)
  }

  async member(args: MemberArgs): Promise<TestMember> {
    const member = new TestMember(await this.driver.open(this.broker.bootstrap))
    this.members.push(member)
    await member.start(args)
    return member
  }

  /** @param end how it ends. The new one has the same data directory and port. */
  async restartBroker(end: 'stop' | 'kill9'): Promise<void> {
    const code = await this.broker[end]()
    if (end === 'stop') assert.equal(code, 0, 'the broker ends cleanly')
    this.broker = await spawnBroker({ dataDirectory: this.directory.path, args: this.args })
  }

  /** Batches of the topic's partitions as they are in the log. */
  async storedBatches(topic: string, partitions: number): Promise<Uint8Array[]> {
    const stored: Uint8Array[] = []
    for (let partition = 0; partition < partitions; partition++) {
      const path = this.directory.file(`${topic}-${partition}`)
      const names = (await readdir(path)).filter(name => name.endsWith('.log')).toSorted()
      for (const name of names) stored.push(...batches(await readFile(join(path, name))))
    }
    return stored
  }

  /** After each scenario: ends the members that are left. @param hasFailed gives the client up too */
  async clear(hasFailed: boolean): Promise<void> {
    for (const member of this.members) await member.kill()
    this.members = []
    if (!hasFailed) return
    await this.open?.kill()
    this.open = null
  }

  /** Never throws for the client's sake: how it closes is asked by no scenario. */
  async strike(): Promise<void> {
    await this.clear(false)
    await this.open?.close()
    await this.broker.kill9()
    await this.directory.remove()
  }
}
