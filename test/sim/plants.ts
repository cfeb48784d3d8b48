/**
 * Known bugs, each of which the simulation must catch: the mistakes of section 6 of the reliability design and of other
 * brokers, and some of our own. `find` stands exactly once in its file.
 */

import { journalPlants } from './journal-plants.ts'
import { rotPlants } from './rot-plants.ts'

export interface Plant {
  readonly name: string
  /** What it does wrong. */
  readonly why: string
  readonly edits: readonly {
    readonly file: string
    readonly find: string
    readonly replace: string
  }[]
}

function plant(name: string, why: string, file: string, find: string, replace: string): Plant {
  return { name, why, edits: [{ file: `workers/log/${file}`, find, replace }] }
}

export const plants: readonly Plant[] = [
  plant(
    'high-watermark-is-log-end',
    'records can be read, and acks=all is answered, before the sync',
    'offsets.ts',
    'if (this.#readableUnflushed) this.highWatermark = logEnd\n    this.#check()',
    'this.highWatermark = logEnd\n    this.#check()',
  ),
  plant(
    'flush-covers-later-appends',
    'a sync is taken to prove what was appended while it ran',
    'flush-policy.ts',
    'this.#log.offsets.flushed(this.#targetOffset)',
    'this.#log.offsets.flushed(this.#log.offsets.logEnd)',
  ),
  plant(
    'no-directory-sync',
    'the name of a new segment is never synced',
    'flush-policy.ts',
    'this.#disk.startSyncDirectory(directory, this.#partDone)',
    'this.#partDone(null)',
  ),
  plant(
    'sealed-segment-unsynced',
    'after a roll only the new segment is synced',
    'flush-policy.ts',
    'segment.file().startSync(this.#partDone)',
    'if (segment !== this.#log.active) this.#partDone(null)\n        else segment.file().startSync(this.#partDone)',
  ),
  plant(
    'failed-sync-retried',
    'a sync that failed is tried again, and believed when it succeeds',
    'flush-policy.ts',
    'else this.#failed(failed)',
    'else {\n        this.#state = "idle"\n        this.maybeStart()\n      }',
  ),
  plant(
    'short-write-ignored',
    'a write that took only some of the bytes counts as whole',
    'files.ts',
    'if (taken < view.length) writeFully(file, view.subarray(taken), at + taken)',
    '',
  ),
  plant(
    'producers-not-rolled-back',
    'a round that failed is remembered as appended: its retry is answered as a duplicate',
    'appender.ts',
    'this.#producers.rollback()',
    'this.#producers.confirm()',
  ),
  plant(
    'window-of-four',
    'the oldest of five batches in flight is no longer recognised',
    'producer-state.ts',
    'if (entry.firstSequence(age) !== firstSequence) continue',
    'if (age === 4 || entry.firstSequence(age) !== firstSequence) continue',
  ),
  plant(
    'sequence-gap-accepted',
    'a batch that skips sequences is appended',
    'producer-state.ts',
    'return firstSequence === expected ? Errors.NONE : Errors.OUT_OF_ORDER_SEQUENCE_NUMBER',
    'return firstSequence >= expected ? Errors.NONE : Errors.OUT_OF_ORDER_SEQUENCE_NUMBER',
  ),
  plant(
    'old-epoch-accepted',
    'a producer that was fenced goes on',
    'producer-state.ts',
    'if (epoch < entry.epoch) return Errors.INVALID_PRODUCER_EPOCH',
    'if (epoch < entry.epoch) return Errors.NONE',
  ),
  plant(
    'snapshot-trusted-over-log',
    'the producers of a window file are taken without the batches behind it',
    'rebuild-producers.ts',
    'replayHeaders(disk, directory, listing.log, window.offset, offset, window.producers, nowMs)',
    '',
  ),
  plant(
    'tail-not-replayed',
    'recovery forgets the producers of the tail it scanned',
    'recover-segment.ts',
    'if (baseOffset >= producersAt.offset) replayBatch(cursor, producersAt.producers, nowMs)',
    '',
  ),
  plant(
    'checkpoint-before-sync',
    'the checkpoint of a round is written when the round starts',
    'checkpoints.ts',
    'this.#captured = this.#encode(offset)\n    this.#capturedOffset = offset',
    'this.#write(offset, this.#encode(offset))',
  ),
  plant(
    'recovery-skips-checksums',
    'a torn batch with a good header is kept',
    'scan-segment.ts',
    'cursor.crcMatches()',
    'true',
  ),
  plant(
    'recovery-drops-later-segments',
    'after the first segment of the tail the log ends',
    'recovery.ts',
    'let isCut = false\n    for (let index = 0; index < tail.length; ) {',
    'let isCut = false\n    for (let index = 0; index < tail.length; ) {\n      isCut ||= index > 0',
  ),
  plant(
    'recovered-tail-unsynced',
    'the tail is served before its copy is synced',
    'repair.ts',
    'for (const segment of copied) files.push(yield* copyUnproven(disk, directory, segment))',
    'for (const segment of copied) (yield* copyUnproven(disk, directory, segment)).close()',
  ),
  plant(
    'copy-without-directory-sync',
    'the copy of the tail may lose its name',
    'repair.ts',
    'const directories = copied.length + leftOut.length > 0 ? [directory] : []',
    'const directories: string[] = []',
  ),
  plant(
    'log-start-before-its-mark',
    'records are gone for clients before the mark is durable',
    'marks.ts',
    'const open = file\n      this.#isInFlight = true\n      file.startSync(error => {\n        open.close()\n        this.#synced(written, error)\n      })',
    'file.close()\n      this.#succeeded(written)',
  ),
  plant(
    'unlink-before-log-start',
    'segments are unlinked before the new log start is durable',
    'retention.ts',
    'if (logStart > offsets.logStart) {\n        this.#moveLogStart',
    'if (logStart > offsets.logStart) {\n        offsets.logStartMoved(logStart)\n        this.sweep()\n        this.#moveLogStart',
  ),
  plant(
    'unflushed-segment-deleted',
    'retention does not wait for the flush',
    'retention.ts',
    'if (endOffset > recoveryPoint) break\n',
    '',
  ),
  plant(
    'failed-round-counted',
    'the batches of a write that failed are answered as appended',
    'appender.ts',
    'this.#undoRound(error as Error)\n      return Errors.KAFKA_STORAGE_ERROR',
    'this.#undoRound(error as Error)\n      return Errors.NONE',
  ),
  plant(
    'swap-without-directory-sync',
    'the segments that compaction replaces go before its decision is durable',
    'swapper.ts',
    'this.#sync(() => this.#decided(range, indexIntervalBytes))',
    'this.#decided(range, indexIntervalBytes)',
  ),
  {
    name: 'compaction-keeps-the-oldest',
    why: 'of several values of a key the first one stays',
    edits: [
      {
        file: 'workers/log/compaction/key-map.ts',
        find: 'if (offset > this.#offsets[slot]) this.#offsets[slot] = offset',
        replace: 'if (this.#offsets[slot] < 0) this.#offsets[slot] = offset',
      },
      {
        file: 'workers/log/compaction/batch-filter.ts',
        find: 'offset < keys.offsetOf(key)',
        replace: 'offset !== keys.offsetOf(key)',
      },
    ],
  },
  plant(
    'retention-by-client-timestamp',
    'records are as old as their producer says',
    'retention.ts',
    'if (segment.lastAppendWallMs >= 0) {',
    'if (segment.lastAppendWallMs >= 0) {\n      return wallMs - segment.indexes.maxTimestampMs',
  ),
  plant(
    'deletion-answered-before-its-mark',
    'DeleteRecords is answered before log-marks is durable',
    'retention.ts',
    'answer(error === null ? Errors.NONE : Errors.KAFKA_STORAGE_ERROR)\n      })',
    '})\n      done({ error: Errors.NONE, logStartOffset: target })',
  ),
  plant(
    'deletion-without-the-directory-above',
    'DeleteRecords is answered while the name of a new log may still be lost',
    'log.ts',
    'failed, loaded.newParent)',
    'failed)',
  ),
  plant(
    'duplicate-answered-unflushed',
    'what was appended under `os` is answered as flushed when the policy has changed',
    'appender.ts',
    'if (isReadable && !isFlushed) return Errors.REQUEST_TIMED_OUT',
    '',
  ),
  plant(
    'sealed-indexes-unsynced',
    'what a power cut leaves of the indexes of whole segments is believed',
    'flush-policy.ts',
    'if (segment.isSyncedSealed) this.#startIndexSyncs(segment)',
    '',
  ),
  plant(
    'gaps-without-a-mark',
    'files with gaps come into use before the mark that allows them',
    'compaction/compactor.ts',
    'await settledBy(done => log.marks.moveCleanedEnd(gapsEnd, done))',
    '',
  ),
  plant(
    'stale-index-hint',
    'a reader that follows a position of long ago',
    'log-reader.ts',
    'if (this.#offsets[slot] !== offset || this.#segments[slot] !== segment) return -1',
    'if (this.#offsets[slot] === -1 || this.#segments[slot] !== segment) return -1',
  ),
  plant(
    'read-above-high-watermark',
    'the reader serves the whole active segment',
    'readable-end.ts',
    'if (segment === this.#segment) return this.#position',
    'if (segment === this.#segment) return segment.sizeBytes',
  ),
  plant(
    'producers-forgotten-by-wall-clock',
    'a wall clock that jumps makes a retry a new batch',
    'retention.ts',
    'producers.expire(this.#events.env.clock.monotonicMs(), idleMsMax)',
    'producers.expire(this.#events.env.clock.wallMs() - this.#openedWallMs + this.#openedMonotonicMs, idleMsMax)',
  ),
  plant(
    'dead-owner-believed',
    'what an owner that died had under a sync counts as on disk once the next sync succeeds',
    'repair.ts',
    'if (isRewritten) for (const segment of kept) rewriteUnproven(disk, directory, segment)',
    '',
  ),
  plant(
    'os-note-kept',
    'under `os` the note that no flush is under way stays while one is',
    'flush-policy.ts',
    'if (this.#isNotedIdle) removeFlushIdle(this.#disk, this.#directory)',
    '',
  ),
  ...journalPlants,
  ...rotPlants,
]
