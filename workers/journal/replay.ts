/**
 * All journals of a data directory, replayed at the start of the process: whatever owners wrote them, before any log is
 * opened. Runs as a pool task; blocks.
 *
 *   read the rounds -> by log -> replay each, synced -> all went well: journals emptied, surplus ones removed
 *                                                    -> one failed: journals stay as they are, that log stays closed
 */
import type { Disk } from '../../src/contracts/disk.ts'
import type {
  JournaledLog,
  JournalReplay,
  LogPlace,
  ReplayInput,
  UnreplayedLog,
} from '../../src/contracts/journal.ts'
import { emptyJournal, listJournals, ownerOf } from './files.ts'
import { type FoundRecord, type JournalContents, readJournals } from './read-journal.ts'
import { replayLog } from './replay-log.ts'

const TOPIC_ID = /^topic_id: *(\S+)\s*$/m

/** Throws as the disk does when a journal cannot be read: nothing may be opened then. */
export function replayJournals(disk: Disk, input: ReplayInput): JournalReplay {
  const paths = listJournals(disk, input.dataDirectory)
  const journals = input.isClean ? [] : readJournals(disk, paths)
  const logs: JournaledLog[] = []
  const failed: UnreplayedLog[] = []
  let writtenBytes = 0
  try {
    const records = recordsByLog(journals)
    for (const { directory, topicId, partition } of input.places) {
      const found = records.get(`${topicId}-${partition}`)
      if (found === undefined || !isOf(disk, directory, topicId)) continue
      try {
        const replayed = replayLog(disk, directory, found)
        writtenBytes += replayed.writtenBytes
        logs.push({ directory, endOffset: replayed.endOffset })
      } catch (error) {
        failed.push({ directory, reason: (error as Error).message })
      }
    }
  } finally {
    for (const { file } of journals) file.close()
  }
  if (failed.length === 0) emptyAll(disk, paths, input)
  const rounds = journals.reduce((sum, journal) => sum + journal.rounds, 0)
  return { logs, failed, rounds, writtenBytes }
}

/**
 * Of one log, from the journal of the owner that has it, before its tail is copied forward: nothing is synced here.
 * Returns the bytes that the segments did not hold. Throws as the disk does.
 */
export function replayOne(disk: Disk, paths: readonly string[], place: LogPlace): number {
  const journals = readJournals(
    disk,
    paths.filter(path => disk.exists(path)),
  )
  try {
    const found = recordsByLog(journals).get(`${place.topicId}-${place.partition}`)
    return found === undefined ? 0 : replayLog(disk, place.directory, found, false).writtenBytes
  } finally {
    for (const { file } of journals) file.close()
  }
}

function recordsByLog(journals: readonly JournalContents[]): Map<string, FoundRecord[]> {
  const found = new Map<string, FoundRecord[]>()
  for (const { records } of journals) {
    for (const record of records) {
      const key = `${record.topicId}-${record.partition}`
      const known = found.get(key)
      if (known === undefined) found.set(key, [record])
      else known.push(record)
    }
  }
  return found
}

/** The directory is there and says nothing of another topic; a torn note of the id is written anew at open. */
function isOf(disk: Disk, directory: string, topicId: string): boolean {
  if (!disk.exists(directory)) return false
  const path = `${directory}/partition.metadata`
  if (!disk.exists(path)) return true
  const found = TOPIC_ID.exec(disk.readFile(path).toString('latin1'))?.[1]
  return found === undefined || found.length < topicId.length || found === topicId
}

function emptyAll(disk: Disk, paths: readonly string[], input: ReplayInput): void {
  const isSurplus = (path: string): boolean => ownerOf(path) >= input.ownerCount
  for (const path of paths) {
    if (isSurplus(path)) disk.unlink(path)
    else emptyJournal(disk, path)
  }
  if (paths.some(isSurplus)) disk.syncDirectory(input.dataDirectory)
}
