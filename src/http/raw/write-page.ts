/** What a read found, written down in slices, so that a page of many small records delays nobody. Dispatcher thread. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { KafkaError } from '../../protocol/errors.ts'
import type { ReadPage } from '../backend/log-backend.ts'
import type { AnswerWriter } from './answer-writer.ts'
import type { RecordFormat } from './record-formats.ts'

/** The clock is looked at after this many records. */
const recordsPerLook = 128
const sliceMs = 3
/** What a record counts beside its content. */
const recordOverheadBytes = 16

export interface WrittenPage {
  readonly count: number
  /** Where to read on. */
  readonly nextOffset: number
  /** Bytes at `nextOffset` are damaged: why. */
  readonly damage: KafkaError | null
}

/** Writes records until `bytesMax` of them are there, but at least one; headers of a record count with its value. */
export async function writePage(
  page: ReadPage,
  format: RecordFormat,
  writer: AnswerWriter,
  bytesMax: number,
): Promise<WrittenPage> {
  const { cursor } = page
  let count = 0
  let bytes = 0
  let lastOffset = -1
  let sliceEndMs = performance.now() + sliceMs
  format.begin(writer)
  try {
    while (cursor.advance()) {
      bytes += contentBytes(page) + recordOverheadBytes
      if (bytes > bytesMax && count > 0) {
        format.end(writer)
        return { count, nextOffset: cursor.offset, damage: null }
      }
      format.record(writer, cursor, count++)
      lastOffset = cursor.offset
      if (count % recordsPerLook !== 0 || performance.now() < sliceEndMs) continue
      await nextTurn()
      sliceEndMs = performance.now() + sliceMs
    }
  } catch (error) {
    if (!(error instanceof KafkaError)) throw error
    const nextOffset = count === 0 ? page.nextOffset : lastOffset + 1
    format.end(writer)
    return { count, nextOffset, damage: error }
  }
  format.end(writer)
  return { count, nextOffset: page.nextOffset, damage: null }
}

function contentBytes({ cursor }: ReadPage): number {
  let bytes = cursor.keyEnd - cursor.keyStart + (cursor.valueEnd - cursor.valueStart)
  for (const [name, value] of cursor.headers()) bytes += name.length + (value?.length ?? 0)
  return bytes
}
