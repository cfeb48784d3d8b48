/** All that the files of a journal hold, for tests and the simulation's checker. */
import type { Disk } from '../../src/contracts/disk.ts'
import {
  type FoundRecord,
  type OpenJournal,
  openJournals,
  readRounds,
} from '../../workers/journal/read-journal.ts'

export interface JournalContents extends OpenJournal {
  readonly rounds: number
  readonly records: readonly FoundRecord[]
}

/** The older generation comes first; the files stay open. */
export function readJournals(
  disk: Pick<Disk, 'open'>,
  paths: readonly string[],
): JournalContents[] {
  return openJournals(disk, paths).map(journal => {
    const records: FoundRecord[] = []
    const rounds = readRounds(journal, record => records.push(record))
    return { ...journal, rounds, records }
  })
}
