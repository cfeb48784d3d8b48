/** After all is healed and quiet: every partition is read through, and everything ever answered is looked for. */
import { Errors } from '../../../src/protocol/errors.ts'
import { batches, records } from '../../../src/protocol/records.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { newReadResult } from '../../../workers/log/results.ts'
import type { Simulation } from '../driver/simulation.ts'
import { Anomaly, demand } from './anomaly.ts'
import { checkProducers, describe, type PartitionModel } from './model.ts'
import { checkAnswer } from './reads.ts'

export async function finalCheck(sim: Simulation): Promise<void> {
  for (const model of sim.models) {
    const slot = sim.models.indexOf(model)
    const log = sim.broker?.owner.logs[slot]
    if (log === undefined) throw new Anomaly('not-live', `${model.name} is not open`)
    readThrough(sim, model, log)
    checkProducers(model.name, model.entries, model.rotten)
  }
  for (const producer of sim.producers) {
    for (const batch of producer.sent) {
      const model = sim.models[batch.slot] as PartitionModel
      if (batch.ackedAt < 0 || batch.isLostRightly || batch.ackedAt < model.logStart) continue
      const there = model.entryAt(batch.ackedAt)?.batch
      demand(there === batch, 'lost-write', () => {
        const now = there === undefined ? 'nothing' : describe(there)
        return `${model.name}: batch ${describe(batch)} was acked at ${batch.ackedAt}, there is ${now}`
      })
    }
  }
  checkQuiet(sim)
}

function readThrough(sim: Simulation, model: PartitionModel, log: PartitionLog): void {
  const { logStart, highWatermark, logEnd } = log.offsets
  demand(highWatermark === logEnd, 'not-live', () => {
    return `${model.name}: all is quiet, log end ${logEnd}, high watermark ${highWatermark}`
  })
  const result = newReadResult()
  const read = new Map<string, number>()
  let region = Buffer.allocUnsafe(16 * 1024)
  for (let offset = logStart; offset < highWatermark; ) {
    log.read(offset, region.length, region, result)
    if (result.error === Errors.NONE && result.neededBytes > 0) {
      region = Buffer.allocUnsafe(result.neededBytes)
      log.read(offset, region.length, region, result)
    }
    const bytes = region.subarray(result.start, result.start + result.length)
    checkAnswer(sim, model, log, offset, { ...result, bytes })
    for (const batch of batches(bytes)) {
      for (const record of records(batch)) {
        if (record.offset < logStart || record.key === null) continue
        read.set(Buffer.from(record.key).toString('latin1'), record.offset)
      }
    }
    if (result.length === 0 && model.maySkip(offset, highWatermark)) break
    demand(result.nextOffset > offset, 'poll-skip', () => `${model.name}: no way on from ${offset}`)
    offset = result.nextOffset
  }
  if (!sim.plan.operations.has('compaction')) return
  const wrong = model.keys.wrongAfter(read, model.entries, logStart)
  demand(wrong === null, 'not-equal-to-model', () => `${model.name}: ${wrong}`)
}

/** Nothing is under way any more: syncs and waiting requests are gone. */
function checkQuiet({ disk, broker }: Simulation): void {
  demand(disk.syncsInFlight === 0, 'leak', () => `${disk.syncsInFlight} syncs never end`)
  for (const { waiting, place } of broker?.hosted ?? []) {
    demand(waiting.length === 0, 'leak', () => `${waiting.length} answers wait at ${place.topic}`)
  }
}
