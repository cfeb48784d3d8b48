/**
 * Reads what a journal file holds: its whole rounds, in order, up to the first that is not whole or not the next one.
 * Replay task and owner threads; changes nothing.
 */
import type { Disk, DiskFile } from '../../src/contracts/disk.ts'
import { readFully } from '../log/files.ts'
import type { Steps } from '../log/steps.ts'
import {
  decodeHeader,
  decodeRecords,
  HEADER_BYTES,
  headBytes,
  type JournalRecord,
  type RoundHeader,
} from './format.ts'

/** Read between two breaths. */
const SLICE_BYTES = 4 * 1024 * 1024

/** A record, and where its batches are. */
export interface FoundRecord extends JournalRecord {
  readonly journal: DiskFile
  /** Of the first batch, in the journal. */
  readonly journalPosition: number
}

export interface OpenJournal {
  readonly file: DiskFile
  /** Of its first round. */
  readonly epoch: number
  readonly generation: number
}

/** Opens the files of one owner, the older generation first. The caller closes them. */
export function openJournals(disk: Pick<Disk, 'open'>, paths: readonly string[]): OpenJournal[] {
  const files: DiskFile[] = []
  try {
    for (const path of paths) files.push(disk.open(path, 'r'))
    const journals = files.map(file => {
      const { epoch = 0, generation = 0 } = headerAt(file, 0) ?? {}
      return { file, epoch, generation }
    })
    return journals.sort((a, b) => a.epoch - b.epoch || a.generation - b.generation)
  } catch (error) {
    for (const file of files) file.close()
    throw error
  }
}

/** As `readRoundSteps`, all at once. */
export function readRounds(journal: OpenJournal, onRecord: (record: FoundRecord) => void): number {
  const steps = readRoundSteps(journal, onRecord)
  let step = steps.next([])
  while (step.done !== true) step = steps.next([])
  return step.value
}

/** Tells of every record, in the order in which they were written; returns the number of whole rounds. */
export function* readRoundSteps(
  { file, epoch, generation }: OpenJournal,
  onRecord: (record: FoundRecord) => void,
): Steps<number> {
  const sizeBytes = file.sizeBytes()
  let rounds = 0
  let breathAt = SLICE_BYTES
  for (let at = 0; ; rounds++) {
    const header = headerAt(file, at)
    if (header === null || header.bytes > sizeBytes - at) return rounds
    const isOfThisUse = header.epoch === epoch && header.generation === generation
    if (!isOfThisUse || header.round !== rounds) return rounds
    const records = recordsAt(file, at, header)
    if (records === null) return rounds
    let journalPosition = at + headBytes(header.recordCount)
    for (const record of records) {
      onRecord({ ...record, journal: file, journalPosition })
      journalPosition += record.bytes
    }
    at += header.bytes
    if (at < breathAt) continue
    breathAt = at + SLICE_BYTES
    yield []
  }
}

function headerAt(file: DiskFile, at: number): RoundHeader | null {
  const bytes = Buffer.alloc(HEADER_BYTES)
  return decodeHeader(bytes.subarray(0, readFully(file, bytes, at)))
}

function recordsAt(file: DiskFile, at: number, header: RoundHeader): JournalRecord[] | null {
  const round = Buffer.allocUnsafeSlow(header.bytes)
  return readFully(file, round, at) === round.length ? decodeRecords(round, header) : null
}
