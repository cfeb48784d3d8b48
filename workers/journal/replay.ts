/**
 * All journals of a data directory, replayed at the start of the process: whatever owners wrote them, before any log is
 * opened. Runs as a pool task, in steps. One owner's after another: a log has records in one of them only.
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
import { isDirectoryOf } from '../log/partition-metadata.ts'
import { type Steps, together } from '../log/steps.ts'
import { emptyJournal, listJournals, nextEpoch, ownerOf } from './files.ts'
import { FoundRecords } from './found-records.ts'
import { type FoundRecord, openJournals, readRoundSteps } from './read-journal.ts'
import { replayLog } from './replay-log.ts'

/** Logs whose files are open and synced at a time. */
const logsAtOnce = 32

/** Throws as the disk does when a journal cannot be read: nothing may be opened then. */
export function* replayJournals(disk: Disk, input: ReplayInput): Steps<JournalReplay> {
  const paths = listJournals(disk, input.dataDirectory)
  const replay = new Replay(disk, input.places)
  if (!input.isClean) {
    for (const ofOwner of Map.groupBy(paths, ownerOf).values()) yield* replay.add(ofOwner)
  }
  if (replay.failed.length === 0) emptyAll(disk, paths, input)
  const { logs, failed, rounds, writtenBytes } = replay
  return { logs, failed, rounds, writtenBytes }
}

class Replay implements JournalReplay {
  readonly logs: JournaledLog[] = []
  readonly failed: UnreplayedLog[] = []
  rounds = 0
  writtenBytes = 0
  readonly #disk: Disk
  readonly #places: ReadonlyMap<string, LogPlace>

  constructor(disk: Disk, places: readonly LogPlace[]) {
    this.#disk = disk
    this.#places = new Map(places.map(place => [keyOf(place), place]))
  }

  /** The files of one owner. */
  *add(paths: readonly string[]): Steps<void> {
    const journals = openJournals(this.#disk, paths)
    try {
      const byLog = new Map<string, FoundRecords>()
      for (const journal of journals) {
        this.rounds += yield* readRoundSteps(journal, record => {
          const key = keyOf(record)
          const ofLog = byLog.get(key) ?? new FoundRecords(record)
          byLog.set(key, ofLog)
          ofLog.add(record)
        })
      }
      const found = [...byLog]
      for (let at = 0; at < found.length; at += logsAtOnce) {
        const group = found.slice(at, at + logsAtOnce)
        yield* together(group.map(([key, records]) => this.#replay(this.#places.get(key), records)))
      }
    } finally {
      for (const { file } of journals) file.close()
    }
  }

  /** Records of a topic that is no more are nobody's. */
  *#replay(place: LogPlace | undefined, records: FoundRecords): Steps<void> {
    if (place === undefined) return
    const { directory, topicId } = place
    try {
      const isThere = this.#disk.exists(directory)
      if (!isThere || !isDirectoryOf(this.#disk, directory, topicId)) return
      const steps = replayLog(this.#disk, directory, records.all())
      const { endOffset, writtenBytes } = yield* steps
      this.writtenBytes += writtenBytes
      this.logs.push({ directory, endOffset })
    } catch (error) {
      this.failed.push({ directory, reason: (error as Error).message })
    }
  }
}

/**
 * Of one log, from the journal of the owner that has it, before its tail is copied forward: nothing is synced here.
 * Returns the bytes that the segments did not hold. Throws as the disk does.
 */
export function* replayOne(disk: Disk, paths: readonly string[], place: LogPlace): Steps<number> {
  const there = paths.filter(path => disk.exists(path))
  const journals = openJournals(disk, there)
  try {
    const found: FoundRecord[] = []
    for (const journal of journals) {
      yield* readRoundSteps(journal, record => {
        if (keyOf(record) === keyOf(place)) found.push(record)
      })
    }
    if (found.length === 0) return 0
    return (yield* replayLog(disk, place.directory, found, false)).writtenBytes
  } finally {
    for (const { file } of journals) file.close()
  }
}

function keyOf({ topicId, partition }: Pick<LogPlace, 'topicId' | 'partition'>): string {
  return `${topicId}-${partition}`
}

function emptyAll(disk: Disk, paths: readonly string[], input: ReplayInput): void {
  const epoch = nextEpoch(disk, paths)
  const isSurplus = (path: string): boolean => ownerOf(path) >= input.ownerCount
  for (const path of paths) {
    if (isSurplus(path)) disk.unlink(path)
    else emptyJournal(disk, path, epoch)
  }
  if (paths.some(isSurplus)) disk.syncDirectory(input.dataDirectory)
}
