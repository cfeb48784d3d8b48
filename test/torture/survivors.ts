/** Reads a damaged partition: what is served must be what was stored, what is not served must say so. */
import { Errors, errorName } from '../../src/protocol/errors.ts'
import { WireClient } from '../support/wire-client.ts'
import { Violation } from './checker.ts'
import { eachRecord, fetchPartition, type ReadPlace } from './load-reader.ts'

/**
 * Reads everything that the checker has settled.
 * @param allowed error codes that an offset may be refused with
 * @returns the offsets that were refused. @throws Violation for any other answer than the record or such a code
 */
export async function readSurvivors(
  bootstrap: string,
  place: ReadPlace,
  allowed: ReadonlySet<number>,
): Promise<number[]> {
  const { checker } = place
  const { start, end } = checker.settled
  const client = await WireClient.connect(bootstrap)
  const refused: number[] = []
  try {
    for (let offset = start; offset < end; ) {
      const row = await fetchPartition(client, place, offset, 0)
      if (row.errorCode !== Errors.NONE) {
        if (!allowed.has(row.errorCode)) {
          const what = `${checker.name}: ${errorName(row.errorCode)} at ${offset}`
          throw new Violation('unexpected', what)
        }
        refused.push(offset)
        offset++
        continue
      }
      const next = eachRecord(row, offset, place, record => {
        if (record.offset < end) checker.again(record)
      })
      if (next === offset) throw new Violation('lost', `${checker.name}: nothing at ${offset}`)
      offset = next
    }
  } finally {
    client.close()
  }
  return refused
}
