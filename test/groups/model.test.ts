/**
 * Random scripts of clients, deaths, stalls and store failures against what a group must never do, checked at every
 * step; at the end everybody falls silent and everything must be over.
 *
 * A client here is a correct one: it does what the answers tell it, in any order relative to the others. What the model
 * knows of it is when it was last heard of and what it was told; from that follows whether it may be thrown out.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { JoinAnswer, SyncAnswer } from '../../src/groups/calls.ts'
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { type Step, step } from './model-steps.ts'
import { type JoinOptions, momentMs, type Parked, Scene, settle, textOf } from './scene.ts'

const sessionTimeoutMs = 10_000
const rebalanceTimeoutMs = 25_000
const offers = [['range'], ['sticky', 'range'], ['range', 'sticky']] as const

interface Client {
  readonly name: string
  readonly instanceId: string | null
  readonly version: number
  protocols: readonly string[]
  memberId: string
  generation: number
  leads: JoinAnswer['members'] | null
  hasPart: boolean
  joining: Parked<JoinAnswer> | null
  syncing: Parked<SyncAnswer> | null
  /** Last time that the group heard of it, and that it joined or fetched its part. */
  heardMs: number
  joinedMs: number
  dead: boolean
}

class World {
  readonly scene: Scene
  readonly clients: Client[] = []
  /** Of every generation: protocol, who was told to lead, what the leader gave to whom. */
  readonly protocols = new Map<number, string>()
  readonly leaders = new Map<number, Set<string>>()
  readonly parts = new Map<number, Map<string, string>>()
  readonly calls: Parked<unknown>[] = []
  readonly abandoned = new Set<Parked<unknown>>()
  /** End of the last stall: for as long as it was late, or a session timeout, the group looks again. */
  stalledMs = 0
  #names = 0

  constructor(delayMs: number) {
    this.scene = new Scene({ initialRebalanceDelayMs: delayMs })
  }

  get nowMs(): number {
    return this.scene.clock.monotonic
  }

  spawn(instanceId: string | null, version: number, offer: number): void {
    for (const other of this.clients) {
      // Two living holders of one instance id would fence each other for ever.
      if (instanceId !== null && other.instanceId === instanceId) this.die(other)
    }
    this.clients.push({
      name: `n${++this.#names}`,
      instanceId,
      version,
      protocols: offers[offer],
      memberId: '',
      generation: -1,
      leads: null,
      hasPart: false,
      joining: null,
      syncing: null,
      heardMs: this.nowMs,
      joinedMs: this.nowMs,
      dead: false,
    })
  }

  /** The next thing a client does by itself. */
  act(client: Client): void {
    if (client.dead || client.joining !== null || client.syncing !== null) return
    if (client.generation < 0) this.join(client)
    else if (!client.hasPart) this.sync(client)
    else this.heartbeat(client)
  }

  join(client: Client): void {
    const { memberId, instanceId: groupInstanceId, version, protocols } = client
    const options: JoinOptions = { memberId, groupInstanceId, version, protocols }
    const timeouts = { sessionTimeoutMs, rebalanceTimeoutMs }
    client.generation = -1
    client.hasPart = false
    client.joining = this.scene.join({ ...options, ...timeouts, clientId: client.name })
    this.#sent(client, client.joining)
  }

  sync(client: Client): void {
    const { memberId, generation, leads, instanceId } = client
    const given = leads?.map(row => [row.memberId, `${generation}:${row.memberId}`] as const)
    if (given !== undefined) this.parts.set(generation, new Map(given))
    const rows = Object.fromEntries(given ?? [])
    client.syncing = this.scene.sync(memberId, generation, rows, instanceId)
    this.#sent(client, client.syncing)
  }

  #sent(client: Client, call: Parked<unknown>): void {
    this.calls.push(call)
    if (call.answer !== null) return
    client.heardMs = this.nowMs
    client.joinedMs = this.nowMs
  }

  heartbeat(client: Client): void {
    const code = this.scene.heartbeat(client.memberId, client.generation, client.instanceId)
    if (code === 'REBALANCE_IN_PROGRESS') {
      client.heardMs = this.nowMs
      this.join(client)
    } else if (code === 'NONE') client.heardMs = this.nowMs
    else this.lost(client, code)
  }

  die(client: Client): void {
    client.dead = true
    this.disconnect(client)
  }

  disconnect(client: Client): void {
    for (const call of [client.joining, client.syncing]) {
      if (call === null) continue
      call.abandon?.()
      this.abandoned.add(call)
    }
    if (client.joining !== null || client.syncing !== null) client.heardMs = this.nowMs
    client.joining = null
    client.syncing = null
  }

  leave(client: Client): void {
    const parked = client.joining !== null && client.memberId === ''
    if (client.dead || parked) return
    this.disconnect(client)
    const { memberId, instanceId } = client
    if (memberId !== '') this.scene.leave({ memberId, groupInstanceId: instanceId })
    client.dead = true
  }

  /** Thrown out: there must be a reason. */
  lost(client: Client, code: string): void {
    const silentMs = this.nowMs - client.heardMs
    const idleMs = this.nowMs - client.joinedMs
    const why = `${client.name} ${code} after ${silentMs} ms of silence, ${idleMs} ms idle`
    if (code === 'ILLEGAL_GENERATION') {
      // Its generation is over; it went on without it only if it was late.
      expect(this.scene.generation, why).toBeGreaterThan(client.generation)
      expect(client.instanceId !== null || idleMs >= rebalanceTimeoutMs, why).toBe(true)
    } else {
      expect(code, why).toBe('UNKNOWN_MEMBER_ID')
      expect(silentMs >= sessionTimeoutMs || idleMs >= rebalanceTimeoutMs, why).toBe(true)
    }
    client.memberId = code === 'ILLEGAL_GENERATION' ? client.memberId : ''
    client.generation = -1
    client.hasPart = false
  }

  /** Takes what was answered. */
  hear(): void {
    for (const client of this.clients) {
      const { joining, syncing } = client
      if (joining !== null && joining.answer !== null) {
        client.joining = null
        this.#joined(client, joining.answer, joining.answeredMs)
      } else if (joining !== null) client.heardMs = this.nowMs
      if (syncing !== null && syncing.answer !== null) {
        client.syncing = null
        this.#synced(client, syncing.answer, syncing.answeredMs)
      } else if (syncing !== null) client.heardMs = this.nowMs
    }
  }

  #joined(client: Client, answer: JoinAnswer, atMs: number): void {
    const code = errorName(answer.errorCode)
    if (code === 'MEMBER_ID_REQUIRED') {
      client.memberId = answer.memberId
      return
    }
    if (code === 'COORDINATOR_NOT_AVAILABLE' || code === 'REBALANCE_IN_PROGRESS') {
      client.heardMs = atMs
      return
    }
    if (code !== 'NONE') {
      this.lost(client, code)
      return
    }
    const { generation, protocol, members, memberId, leader, skipAssignment } = answer
    expect(generation).toBeGreaterThan(0)
    expect(this.protocols.get(generation) ?? protocol).toBe(protocol)
    this.protocols.set(generation, protocol ?? '')
    expect(client.protocols).toContain(protocol)
    const told = this.leaders.get(generation) ?? new Set()
    this.leaders.set(generation, told)
    if (members.length > 0 && !skipAssignment) {
      expect(leader).toBe(memberId)
      told.add(memberId)
      expect(told.size, `leaders of generation ${generation}`).toBe(1)
    }
    client.memberId = memberId
    client.generation = generation
    client.leads = members.length > 0 && !skipAssignment ? members : null
    client.joinedMs = atMs
    client.heardMs = atMs
  }

  #synced(client: Client, answer: SyncAnswer, atMs: number): void {
    const code = errorName(answer.errorCode)
    if (code === 'REBALANCE_IN_PROGRESS' || code === 'COORDINATOR_NOT_AVAILABLE') {
      client.generation = -1
      client.heardMs = atMs
      return
    }
    if (code !== 'NONE') {
      this.lost(client, code)
      return
    }
    const { generation } = client
    const kept = this.scene.store.groups.get('g')
    expect(kept?.generation, 'kept before it is told').toBe(generation)
    // A static member that came back has what its former self was given.
    const parts = [...(this.parts.get(generation)?.values() ?? [])]
    const part = textOf(answer.assignment)
    if (client.instanceId === null) {
      expect(part).toBe(this.parts.get(generation)?.get(client.memberId) ?? '')
    } else if (part !== '') expect(parts).toContain(part)
    client.hasPart = true
    client.heardMs = atMs
  }

  /** What holds between any two steps. */
  check(lastGeneration: number): number {
    const { scene } = this
    for (const call of this.calls) {
      expect(call.answers).toBeLessThanOrEqual(this.abandoned.has(call) ? 0 : 1)
    }
    const generation = scene.generation
    if (scene.coordinator.has('g')) expect(generation).toBeGreaterThanOrEqual(lastGeneration)
    for (const client of this.clients) {
      if (client.dead || client.memberId === '' || client.generation < 0) continue
      const code = scene.commit(client.memberId, client.generation, client.instanceId)
      // Whoever may commit is of the generation that the group is in.
      if (code === 'NONE') expect(client.generation).toBe(generation)
      if (code === 'NONE' || code === 'REBALANCE_IN_PROGRESS') client.heardMs = this.nowMs
    }
    for (const { memberId, heardMs, name } of this.clients) {
      const silentMs = this.nowMs - Math.max(heardMs, this.stalledMs)
      if (silentMs < sessionTimeoutMs + momentMs) continue
      expect(scene.memberIds, `${name} is silent for ${silentMs} ms`).not.toContain(memberId)
    }
    return generation
  }
}

async function take(world: World, next: Step): Promise<void> {
  const { scene, clients } = world
  const who = (index: number) => clients.filter(({ dead }) => !dead)[index]
  switch (next.do) {
    case 'act':
      if (who(next.who) !== undefined) world.act(who(next.who))
      break
    case 'everybody':
      for (const client of clients) {
        world.act(client)
        await settle()
        world.hear()
      }
      break
    case 'spawn':
      world.spawn(next.instance, next.version, next.offer)
      break
    case 'die':
      if (who(next.who) !== undefined) world.die(who(next.who))
      break
    case 'cut':
      if (who(next.who) !== undefined) world.disconnect(who(next.who))
      break
    case 'leave':
      if (who(next.who) !== undefined) world.leave(who(next.who))
      break
    case 'change': {
      const client = who(next.who)
      if (client === undefined || client.joining !== null || client.syncing !== null) break
      client.protocols = offers[next.offer]
      if (client.memberId !== '') world.join(client)
      break
    }
    case 'wait':
      scene.clock.advance(next.ms)
      break
    case 'stall':
      scene.stall(next.ms)
      world.stalledMs = world.nowMs
      // What lay unread in the sockets comes before any second look.
      for (const client of clients) {
        if (client.dead || !client.hasPart) continue
        // The stall does not count as silence.
        client.heardMs += next.ms
        world.heartbeat(client)
      }
      break
    case 'store':
      scene.store.code = next.code
      if (next.held) scene.store.isHeld = true
      else scene.store.release()
      break
  }
}

/** The store works again, the living settle down, then everybody falls silent. */
async function finish(world: World): Promise<void> {
  const { scene } = world
  scene.store.code = Errors.NONE
  scene.store.release()
  const living = world.clients.filter(({ dead }) => !dead)
  for (let round = 0; round < 60; round++) {
    for (const client of living) {
      world.act(client)
      await settle()
      world.hear()
    }
    scene.clock.advance(2000)
    await settle()
    world.hear()
  }
  if (living.length > 0) expect(scene.state).toBe('Stable')
  expect(scene.memberIds.toSorted()).toEqual(living.map(({ memberId }) => memberId).toSorted())
  expect(living.every(({ hasPart }) => hasPart)).toBe(true)
  for (const client of living) world.die(client)
  scene.clock.advance(10 * rebalanceTimeoutMs)
  await settle()
  expect(['Empty', 'Dead']).toContain(scene.state)
  expect([scene.clock.timerCount, scene.coordinator.keptBytes]).toEqual([0, 0])
  for (const call of world.calls) expect(call.answers + Number(world.abandoned.has(call))).toBe(1)
}

const effort = Number(process.env.ODRADEK_FUZZ ?? 1)

test('a group never does what it must not', async () => {
  const script = fc.record({
    delayMs: fc.constantFrom(0, 0, 3000),
    steps: fc.array(step, { minLength: 5, maxLength: 80 }),
  })
  await fc.assert(
    fc.asyncProperty(script, async ({ delayMs, steps }) => {
      const world = new World(delayMs)
      let generation = 0
      for (const next of steps) {
        await take(world, next)
        await settle()
        world.hear()
        generation = world.check(generation)
      }
      await finish(world)
    }),
    { numRuns: 400 * effort },
  )
})
