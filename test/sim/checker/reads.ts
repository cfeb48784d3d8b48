/** What readers are told, against the model: fetch answers batch by batch, look-ups by time against a plain search. */
import { Errors } from '../../../src/protocol/errors.ts'
import { maxTimestampAt } from '../../../src/protocol/record-batch.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { READ_FAILURES_MAX } from '../../../workers/log/quarantine.ts'
import type { Segment } from '../../../workers/log/segment.ts'
import type { ReadAnswer } from '../driver/owner.ts'
import type { Simulation } from '../driver/simulation.ts'
import type { Random } from '../world/random.ts'
import { Anomaly, demand } from './anomaly.ts'
import { storedBatches } from './batch-list.ts'
import type { PartitionModel } from './model.ts'

export function checkAnswer(
  sim: Simulation,
  model: PartitionModel,
  log: PartitionLog,
  offset: number,
  read: ReadAnswer,
): void {
  const { logStart, highWatermark, logEnd } = log.offsets
  const { name } = model
  if (read.error !== Errors.NONE) {
    checkReadError(sim, model, log, offset, read)
    return
  }
  demand(offset >= logStart && offset <= logEnd, 'wrong-answer', () => {
    return `${name}: a fetch at ${offset} of [${logStart}, ${logEnd}] was answered`
  })
  let next = offset
  let isFirst = true
  for (const { base, last, bytes } of storedBatches(read.bytes)) {
    const isNext = isFirst ? base <= offset && last >= offset : base === next
    const isRight = isNext || (base > next && model.maySkip(next, base))
    demand(isRight, 'poll-skip', () => `${name}: a fetch at ${offset} goes on with batch ${base}`)
    isFirst = false
    if (last < model.logStart) {
      next = last + 1
      continue
    }
    demand(last < highWatermark, 'read-above-high-watermark', () => {
      return `${name}: batch ${base} was read, the high watermark is ${highWatermark}`
    })
    const entry = model.entryAt(base)
    if (entry === undefined) throw new Anomaly('phantom', `${name}: read batch at ${base}`)
    const wrong = model.wrongIn(entry, bytes)
    demand(wrong === null, 'inconsistent-offsets', () => `${name}: ${wrong}`)
    next = last + 1
  }
  demand(next === read.nextOffset, 'wrong-answer', () => {
    return `${name}: a fetch at ${offset} says it goes on at ${read.nextOffset}, its batches end at ${next}`
  })
  const isEmpty = next === offset && read.neededBytes === 0
  const isEnd = offset >= highWatermark || model.maySkip(offset, highWatermark)
  demand(!isEmpty || isEnd, 'poll-skip', () => {
    return `${name}: nothing at ${offset}, the high watermark is ${highWatermark}`
  })
}

function checkReadError(
  sim: Simulation,
  model: PartitionModel,
  log: PartitionLog,
  offset: number,
  { error, nextOffset }: ReadAnswer,
): void {
  const { logStart, logEnd } = log.offsets
  const { name } = model
  if (error === Errors.OFFSET_OUT_OF_RANGE) {
    demand(offset < logStart || offset > logEnd, 'wrong-answer', () => {
      return `${name}: offset ${offset} of [${logStart}, ${logEnd}] is out of range`
    })
    return
  }
  if (error === Errors.CORRUPT_MESSAGE && givenUpAt(log, offset) !== null) return
  if (error === Errors.CORRUPT_MESSAGE && !model.rotten.isEmpty) {
    const lost = model.goneBetween(offset, nextOffset)
    const areRotten = lost.every(entry => model.rotten.has(entry) || entry.last < model.logStart)
    demand(nextOffset > offset && areRotten, 'lost-write', () => {
      return `${name}: offsets ${offset} to ${nextOffset} are told as lost, and did not rot`
    })
    return
  }
  const mayFail = !sim.faults.isHealed && sim.plan.faults.length > 0
  demand(error === Errors.KAFKA_STORAGE_ERROR && mayFail, 'unexpected-error', () => {
    return `${name}: a fetch at ${offset} of [${logStart}, ${logEnd}] fails with ${error}`
  })
}

/** A segment, that of `offset` or any, that counts as lost because the disk could not read it several times. */
export function givenUpAt({ segments }: PartitionLog, offset?: number): Segment | null {
  const asked = segments.findLast(({ baseOffset }) => baseOffset <= (offset ?? baseOffset))
  const looked = offset === undefined ? segments : segments.filter(segment => segment === asked)
  return looked.find(({ readFailures }) => readFailures >= READ_FAILURES_MAX) ?? null
}

export function checkLookUp(
  sim: Simulation,
  model: PartitionModel,
  log: PartitionLog,
  random: Random,
): void {
  if (model.entries.length === 0 || log.gapsBelowOffset > 0) return
  // The time index has no checksum: what rot makes of it is believed.
  if (sim.world.counts.has('cache files damaged') || !model.rotten.isEmpty) return
  sim.world.count('look-ups by time')
  const somewhere = random.pick(model.entries)
  const timestampMs = maxTimestampAt(somewhere.bytes, 0) + random.range(-1, 1)
  let found: number | undefined
  try {
    found = log.findByTime(timestampMs)?.baseOffset
  } catch (error) {
    if (sim.disk.crashed || !sim.faults.isHealed) return
    throw error
  }
  if (sim.disk.crashed) return
  const wanted = model.firstAtTime(timestampMs, log.offsets.highWatermark)?.base
  demand(found === wanted, 'wrong-answer', () => {
    return `${model.name}: the first batch at time ${timestampMs} is ${wanted}, found was ${found}`
  })
}
