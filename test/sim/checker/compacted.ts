/** After a compaction pass: what is left in the files is what was sent, and the newest record of each key is there. */
import { records } from '../../../src/protocol/records.ts'
import type { PartitionLog } from '../../../workers/log/log.ts'
import { directoryOf } from '../driver/places.ts'
import type { Simulation } from '../driver/simulation.ts'
import { Anomaly, demand } from './anomaly.ts'
import { storedIn } from './white-box.ts'

export function checkCompacted({ disk, models, places }: Simulation, log: PartitionLog): void {
  const place = places[log.slot]
  const model = models[log.slot]
  if (place === undefined || model === undefined || disk.crashed) return
  model.step(log)
  const { logStart } = log.offsets
  const read = new Map<string, number>()
  for (const { base, bytes } of storedIn(disk, directoryOf(place), log, model.rotten)) {
    const entry = model.entryAt(base)
    if (entry === undefined) throw new Anomaly('phantom', `${model.name}: a batch at ${base}`)
    const wrong = model.wrongIn(entry, bytes)
    demand(wrong === null, 'inconsistent-offsets', () => `${model.name}: ${wrong}`)
    for (const { offset, key } of records(bytes)) {
      if (offset >= logStart && key !== null) read.set(Buffer.from(key).toString('latin1'), offset)
    }
  }
  const wrong = model.keys.wrongAfter(read, model.entries, logStart)
  demand(wrong === null, 'not-equal-to-model', () => `${model.name}: ${wrong}`)
}
