/**
 * Bits that flip in stored records (RELIABILITY B8), each place in turn:
 *
 *   offline   in files of a broker that was stopped clean, before it starts again
 *   scrub     in sealed files of a running broker, which looks through all of them once a second
 *
 * No record with a bad checksum is ever served: an offset in a damaged batch is answered CORRUPT_MESSAGE, every other
 * one with its record, byte by byte.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Errors } from '../../src/protocol/errors.ts'
import { baseOffsetAt, batchBytesAt, lastOffsetAt } from '../../src/protocol/record-batch.ts'
import type { SpawnedBroker } from '../support/spawn-broker.ts'
import { WireClient } from '../support/wire-client.ts'
import { Violation } from './checker.ts'
import { fetchPartition, type ReadPlace } from './load-reader.ts'
import type { Random } from './random.ts'
import type { Scenario, TortureRun } from './scenario.ts'
import { allProducers, Session } from './session.ts'
import { readSurvivors } from './survivors.ts'
import { mustLive, until } from './watch.ts'

export const flips: Scenario = {
  name: 'flips',
  about: 'bits flipped in stored records, offline and under the scrub',
  cycle: 'set of flips',
  cyclesDefault: 40,
  needs: () => [],
  run: async run => {
    for (let cycle = 0; cycle < run.cycles; cycle++) {
      await oneSet(run, cycle % 2 === 0 ? 'offline' : 'scrub', cycle)
      run.cycleDone()
    }
  },
}

const flipsMax = 6
/** Of a batch: before these bytes its offset and leader epoch stand, which no checksum covers. */
const checkedFrom = 16
const corrupt: ReadonlySet<number> = new Set([Errors.CORRUPT_MESSAGE])
/** A pass over all files begins every so often. */
const scrubMs = 1000

interface Batch {
  readonly path: string
  readonly position: number
  readonly sizeBytes: number
  readonly baseOffset: number
  readonly lastOffset: number
}

async function oneSet(run: TortureRun, how: 'offline' | 'scrub', cycle: number): Promise<void> {
  const { random } = run
  const directory = join(run.directory, `flips-${cycle}`)
  const args = how === 'scrub' ? ['--set', `log.scrub.interval.ms=${scrubMs}`] : []
  let broker = await run.spawn(directory, { args })
  const session = await Session.create(broker.bootstrap, {
    topic: 'flips',
    partitionCount: 2,
    configs: new Map([
      ['segment.bytes', '65536'],
      ['index.interval.bytes', String(random.pick([256, 4096]))],
    ]),
    producers: allProducers,
    random,
    thinkMs: 2,
  })
  session.startLoad(broker.bootstrap)
  await session.progress(random.between(1500, 4000))
  await session.stopLoad()
  await session.check(broker.bootstrap, null)
  if (how === 'offline') await broker.stop()
  const damaged = session.places.map(place => flipSome(directory, place, random, how === 'scrub'))
  if (how === 'offline') broker = await run.spawn(directory, { args })
  run.add('bits flipped', damaged.flat().length)
  for (const [i, place] of session.places.entries()) {
    if (how === 'scrub') await untilFound(broker, place, damaged[i])
    const refused = await readSurvivors(broker.bootstrap, place, corrupt)
    onlyDamaged(place, refused, damaged[i])
    run.add('offsets refused', refused.length)
  }
  mustLive(broker, 'after bits have flipped')
  session.startProducers(broker.bootstrap)
  await session.progress(100)
  await session.stopLoad()
  run.addSession(session)
  run.add(how)
  await broker.stop()
}

/** Flips a bit in some batches of a partition. @returns those */
function flipSome(
  directory: string,
  { topic, partition }: ReadPlace,
  random: Random,
  isSealedOnly: boolean,
): Batch[] {
  const folder = join(directory, `${topic}-${partition}`)
  const names = readdirSync(folder)
    .filter(name => name.endsWith('.log'))
    .sort()
  const files = isSealedOnly ? names.slice(0, -1) : names
  const batches = files.flatMap(name => batchesOf(join(folder, name)))
  const chosen = new Set<Batch>()
  for (let i = random.between(1, flipsMax); i > 0; i--) chosen.add(random.pick(batches))
  for (const batch of chosen) flipBit(batch, random)
  return [...chosen]
}

function batchesOf(path: string): Batch[] {
  const bytes = readFileSync(path)
  const batches: Batch[] = []
  for (let position = 0; position < bytes.length; ) {
    const sizeBytes = batchBytesAt(bytes, position)
    const baseOffset = baseOffsetAt(bytes, position)
    batches.push({
      path,
      position,
      sizeBytes,
      baseOffset,
      lastOffset: lastOffsetAt(bytes, position),
    })
    position += sizeBytes
  }
  return batches
}

function flipBit({ path, position, sizeBytes }: Batch, random: Random): void {
  const at = position + random.between(checkedFrom, sizeBytes - 1)
  const fd = openSync(path, 'r+')
  try {
    const byte = Buffer.alloc(1)
    readSync(fd, byte, 0, 1, at)
    byte[0] ^= 1 << random.between(0, 7)
    writeSync(fd, byte, 0, 1, at)
  } finally {
    closeSync(fd)
  }
}

/** A pass begins every second; what this process has written is served until the scrub has seen it. */
async function untilFound(
  broker: SpawnedBroker,
  place: ReadPlace,
  damaged: readonly Batch[],
): Promise<void> {
  const client = await WireClient.connect(broker.bootstrap)
  try {
    for (const { baseOffset } of damaged) {
      await until(`the scrub finds what is damaged at ${baseOffset}`, async () => {
        const { errorCode } = await fetchPartition(client, place, baseOffset, 0)
        return errorCode === Errors.CORRUPT_MESSAGE
      })
    }
  } finally {
    client.close()
  }
}

function onlyDamaged(
  { checker }: ReadPlace,
  refused: readonly number[],
  damaged: readonly Batch[],
) {
  const isDamaged = (offset: number) =>
    damaged.some(batch => offset >= batch.baseOffset && offset <= batch.lastOffset)
  const healthy = refused.filter(offset => !isDamaged(offset))
  if (healthy.length > 0) {
    const which = `${healthy.slice(0, 5).join(', ')} (${healthy.length} in all)`
    throw new Violation('lost', `${checker.name}: refused although undamaged: ${which}`)
  }
  for (const { baseOffset, lastOffset } of damaged) {
    for (let offset = baseOffset; offset <= lastOffset; offset++) {
      if (refused.includes(offset)) continue
      throw new Violation('altered', `${checker.name}: ${offset} is served from a damaged batch`)
    }
  }
}
