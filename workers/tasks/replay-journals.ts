/** Task pool: replays the journals of all owners, once at the start of the process, before any log is opened. */
import type { JournalReplay, ReplayInput } from '../../src/contracts/journal.ts'
import { realDisk } from '../disk.ts'
import { replayJournals } from '../journal/replay.ts'

export default function replay(input: ReplayInput): JournalReplay {
  return replayJournals(realDisk, input)
}
