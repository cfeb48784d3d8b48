/** Known bugs of a journal, as in plants.ts. */
import type { Plant } from './plants.ts'

function plant(name: string, why: string, file: string, find: string, replace: string): Plant {
  return { name, why, edits: [{ file: `workers/${file}`, find, replace }] }
}

export const journalPlants: readonly Plant[] = [
  plant(
    'journal-proves-before-its-sync',
    'the flushed end moves once the round is written',
    'journal/owner-journal.ts',
    'for (const added of this.#added) this.#noteWritten(added)',
    'for (const added of this.#added) this.#noteWritten(added)\n    for (const { log, range } of this.#written.values()) log.journalSynced(range)',
  ),
  plant(
    'journal-file-reused-too-early',
    'a file is begun anew before the segments of its logs are synced',
    'journal/owner-journal.ts',
    'files[index].needs.size === 0',
    'files[index] !== undefined',
  ),
  plant(
    'journal-sync-failure-ignored',
    'a failed sync of the journal counts as a good one',
    'journal/owner-journal.ts',
    'this.#error ??= error\n    if (--this.#partsLeft > 0) return',
    'if (--this.#partsLeft > 0) return',
  ),
  plant(
    'journal-of-the-dead-reused',
    'a new owner thread writes over rounds that logs still need',
    'journal/owner-journal.ts',
    'this.mode.isOn && this.#isUnneeded()',
    'this.mode.isOn',
  ),
  plant(
    'journal-epoch-kept',
    'rounds of an earlier use continue those of this one',
    'journal/files.ts',
    'Math.max(epoch, epochOf(disk, path)), 0) + 1',
    'Math.max(epoch, epochOf(disk, path)), 0)',
  ),
  plant(
    'incomplete-round-replayed',
    'a round is replayed whose checksum is not right',
    'journal/format.ts',
    'if (crc32c(round.subarray(CRC_START)) !== round.readUInt32BE(CRC_AT)) return null',
    '',
  ),
  plant(
    'replay-overwrites',
    'records are written where they once were, whatever is there now',
    'journal/replay-log.ts',
    'if (!isThere) return false',
    '',
  ),
  plant(
    'replay-skips-a-gap',
    'a record is written although what lies before it is missing',
    'journal/replay-log.ts',
    'if (record === undefined || record.baseOffset > end) return false\n    const from = this.#startIn(record)',
    'if (record === undefined) return false\n    const from = 0\n    this.#offset = record.baseOffset\n    this.#position = record.position',
  ),
  plant(
    'replay-unsynced',
    'the journals are emptied before the segments are synced',
    'journal/replay-log.ts',
    'yield* synced([...this.#dirty, this.#directory])',
    'yield* synced([this.#directory])',
  ),
  plant(
    'replay-trusts-the-cache',
    'what reads back well is not written again, so that the sync does not write it',
    'journal/replay-log.ts',
    'writeFully(file, batches, position)\n    this.#dirty.add(file)\n    return true',
    'return true',
  ),
  plant(
    'journal-proves-behind-a-gap',
    'a range of the journal counts although what lies before it is not proven',
    'log/offsets.ts',
    'const isJournaled = this.#journaledFrom <= this.recoveryPoint',
    'const isJournaled = this.#journaledFrom <= this.logEnd',
  ),
  plant(
    'journaled-taken-for-synced',
    'after the death of a thread, segments count as synced up to where only its journal proved it',
    'log/recovery.ts',
    'isJournaled ? 0 : flushedOffset',
    'flushedOffset',
  ),
  plant(
    'journal-before-the-directory',
    'records are proven by the journal whose directory a power cut takes away',
    'log/flush-policy.ts',
    'this.#isRooted = false',
    '',
  ),
]
