/** Known bugs about disks that rot, as in plants.ts. */
import type { Plant } from './plants.ts'

function plant(name: string, why: string, file: string, find: string, replace: string): Plant {
  return { name, why, edits: [{ file, find, replace }] }
}

export const rotPlants: readonly Plant[] = [
  plant(
    'rot-truncated',
    'a bad batch below the flushed end is cut off with all that follows, as if it were torn',
    'workers/log/scan-segment.ts',
    'const isRot = offset < provenOffset',
    'const isRot = false',
  ),
  plant(
    'flushed-end-forgotten',
    'what was noted as flushed is not known to recovery',
    'workers/log/recovery.ts',
    'this.#rotBelow = Math.max(recoveryPoint, this.#provenEnd, flushedOffset)',
    'this.#rotBelow = Math.max(0, this.#provenEnd, flushedOffset)',
  ),
  plant(
    'rotten-batch-served',
    'a batch is read for the first time and nobody looks at its checksum',
    'workers/log/log-reader.ts',
    'if (!isSeen && !isWell(region, at, bytes, this.#span.gapsBelowOffset)) break',
    'if (!isSeen && bytes === 0) break',
  ),
  plant(
    'rot-takes-all-that-follows',
    'behind a bad batch the rest of the segment counts as lost',
    'workers/log/log-reader.ts',
    'const nextOffset = firstGood(segment, this.#badPosition, limit, fetchOffset, endOffset)',
    'const nextOffset = firstGood === undefined || limit === 0 ? fetchOffset : endOffset',
  ),
  plant(
    'damaged-window-believed',
    'the state of producers is taken from a file that fails its checksum',
    'workers/log/producer-files.ts',
    'bytes.readInt16BE(0) === VERSION &&\n    bytes.readUInt32BE(2) === crc32c(bytes.subarray(CHECKED_FROM))',
    'bytes.readInt16BE(0) === VERSION && crc32c !== undefined && CHECKED_FROM > 0',
  ),
  plant(
    'index-never-to-blame',
    'an index that leads astray makes good records count as lost',
    'workers/log/segment.ts',
    'if (!this.#areIndexesTrusted) return false',
    'if (this.#areIndexesTrusted) return false',
  ),
]
