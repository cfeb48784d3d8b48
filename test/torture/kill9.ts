/**
 * kill -9 (RELIABILITY C1, C2): whatever was acknowledged is there afterwards, acks=1 included, because the page cache
 * outlives the process.
 *
 *   start (killed now and then) -> check -> load 0 to 2 s -> kill -9 -> start ...
 *
 * Every 25 cycles a new topic with other settings, after all of the old one has been read once more.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { Admin } from '../../src/client/admin.ts'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import type { Random } from './random.ts'
import type { Scenario, TortureRun } from './scenario.ts'
import { allProducers, manyPartitions, Session } from './session.ts'
import { journalRounds } from './watch.ts'

const cyclesPerTopic = 25
const startKilledProbability = 0.3
const loadMsMax = 2000

export const kill9: Scenario = {
  name: 'kill9',
  about: 'kill -9 under load and during start: nothing acknowledged is lost, acks=1 included',
  cycle: 'life of the broker',
  cyclesDefault: 300,
  needs: () => [],
  run: runKill9,
}

const kinds = ['journaled', 'group-commit', 'compacted', 'interval', 'os'] as const
type Kind = (typeof kinds)[number]

/** Small segments, so that rolls are constant, under every flush policy. */
function topicConfigs(random: Random, kind: Kind): Map<string, string> {
  const configs = new Map([
    ['flush.policy', kind === 'interval' || kind === 'os' ? kind : 'group-commit'],
    ['segment.bytes', String(random.pick([32_768, 65_536, 262_144, 1_048_576]))],
    ['index.interval.bytes', String(random.pick([512, 4096]))],
    ['flush.messages', String(random.pick([1, 50, 500]))],
    ['flush.ms', String(random.pick([5, 50, 500]))],
  ])
  if (kind === 'compacted') {
    configs.set('cleanup.policy', 'compact').set('min.cleanable.dirty.ratio', '0.01')
    configs.set('segment.bytes', String(random.pick([16_384, 65_536])))
  } else if (random.chance(0.3)) {
    configs.set('retention.bytes', '4000000')
  }
  return configs
}

async function runKill9(run: TortureRun): Promise<void> {
  const { random, directory } = run
  const args = ['--set', 'log.retention.check.interval.ms=300']
  args.push('--set', 'log.cleaner.backoff.ms=100', '--set', 'journal.bytes=16777216')
  let broker = await run.spawn(directory, { args })
  let session: Session | null = null
  for (let cycle = 0; cycle < run.cycles; cycle++) {
    if (cycle % cyclesPerTopic === 0) session = await nextTopic(run, broker, session)
    if (session === null) throw new Error('there is a topic from the first cycle on')
    session.startLoad(broker.bootstrap)
    const loadMs = run.isShort ? 100 + random.next() * 400 : random.next() ** 2 * loadMsMax
    await Promise.race([delay(loadMs), session.failed])
    run.add('journal rounds', await journalRounds(broker))
    await broker.kill9()
    await session.stopLoad()
    broker = await startAgain(run, args)
    await session.check(broker.bootstrap, 'process')
    run.cycleDone()
  }
  if (session !== null) await endTopic(run, broker, session)
  await broker.stop()
}

async function nextTopic(
  run: TortureRun,
  broker: SpawnedBroker,
  last: Session | null,
): Promise<Session> {
  if (last !== null) await endTopic(run, broker, last)
  run.add('topics')
  const index = (run.counts.get('topics') ?? 1) - 1
  const kind = kinds[(index + run.seed) % kinds.length]
  return await Session.create(broker.bootstrap, {
    topic: `kill9-${index}`,
    ...(kind === 'journaled' ? manyPartitions : { partitionCount: 4 }),
    configs: topicConfigs(run.random, kind),
    producers: allProducers,
    random: run.random,
    thinkMs: run.random.pick([1, 3, 10]),
  })
}

async function endTopic(run: TortureRun, broker: SpawnedBroker, session: Session): Promise<void> {
  await session.checkAll(broker.bootstrap)
  run.addSession(session)
  await using admin = new Admin({ bootstrap: broker.bootstrap })
  await admin.deleteTopic(session.topic)
}

/** Starts the broker, often killed before it serves: recovery itself is interrupted then. */
async function startAgain(run: TortureRun, args: readonly string[]): Promise<SpawnedBroker> {
  const { random, directory } = run
  while (random.chance(startKilledProbability)) {
    const readyTimeoutMs = 40 + random.next() * 400
    const early = await run.spawn(directory, { args, readyTimeoutMs }).catch(() => null)
    await early?.kill9()
    run.add('killed during start')
  }
  return await run.spawn(directory, { args })
}
