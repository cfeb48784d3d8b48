/** Task pool: replays the journals of all owners, once at the start of the process, before any log is opened. */
import type { JournalReplay, ReplayInput } from '../../src/contracts/journal.ts'
import { realDisk } from '../disk.ts'
import { replayJournals } from '../journal/replay.ts'
import { runAside } from '../run-aside.ts'

export default function replay(input: ReplayInput): Promise<JournalReplay> {
  return runAside(realDisk, replayJournals(realDisk, input))
}
