/**
 * Reads what a journal file holds: its whole rounds, in order, up to the first that is not whole or not the next one.
 * Replay task and owner threads; blocks, changes nothing.
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { readFully } from '../log/files.ts'
import {
  decodeHeader,
  decodeRecords,
  HEADER_BYTES,
  headBytes,
  type JournalRecord,
  type RoundHeader,
} from './format.ts'

/** A record, and where its batches are. */
export interface FoundRecord extends JournalRecord {
  readonly journal: DiskFile
  /** Of the first batch, in the journal. */
  readonly journalPosition: number
}

export interface JournalContents {
  readonly file: DiskFile
  readonly epoch: number
  readonly generation: number
  readonly rounds: number
  readonly records: FoundRecord[]
}

/** Opens and reads the files; the older generation of a pair comes first. The caller closes the files. */
export function readJournals(
  disk: Pick<Disk, 'open'>,
  paths: readonly string[],
): JournalContents[] {
  const contents: JournalContents[] = []
  try {
    for (const path of paths) contents.push(readJournal(disk.open(path, 'r')))
  } catch (error) {
    for (const { file } of contents) file.close()
    throw error
  }
  return contents.sort((a, b) => a.epoch - b.epoch || a.generation - b.generation)
}

function readJournal(file: DiskFile): JournalContents {
  const records: FoundRecord[] = []
  const sizeBytes = file.sizeBytes()
  let first: RoundHeader | null = null
  let rounds = 0
  let at = 0
  for (;;) {
    const header = headerAt(file, at)
    if (header === null || header.bytes > sizeBytes - at) break
    first ??= header
    const isNext = header.epoch === first.epoch && header.generation === first.generation
    if (!isNext || header.round !== rounds) break
    const found = recordsAt(file, at, header)
    if (found === null) break
    let journalPosition = at + headBytes(header.recordCount)
    for (const record of found) {
      records.push({ ...record, journal: file, journalPosition })
      journalPosition += record.bytes
    }
    rounds++
    at += header.bytes
  }
  const { epoch = 0, generation = 0 } = first ?? {}
  return { file, epoch, generation, rounds, records }
}

function headerAt(file: DiskFile, at: number): RoundHeader | null {
  const bytes = Buffer.alloc(HEADER_BYTES)
  return decodeHeader(bytes.subarray(0, readFully(file, bytes, at)))
}

function recordsAt(file: DiskFile, at: number, header: RoundHeader): JournalRecord[] | null {
  const round = Buffer.allocUnsafeSlow(header.bytes)
  return readFully(file, round, at) === round.length ? decodeRecords(round, header) : null
}
