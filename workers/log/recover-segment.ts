/**
 * Recovery's look at one segment: which of its bytes are the log's, which of those are proven, and fitting indexes.
 * Owner threads and recovery tasks.
 *
 *   | proven, headers believed | unproven, CRC checked |           copied forward the segment becomes two:
 *   | base.index               | unproven.index        |           base.log | unproven.log
 *
 * The scan begins at the last good entry of the index on disk, so that a large segment with a short tail is fast.
 */
import type { RottenRange, SegmentVerdict } from '../../src/contracts/control.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import type { BatchCursor } from './batch-cursor.ts'
import { logFilePath, temporaryPath } from './files.ts'
import { seedIndexes } from './index-seed.ts'
import type { ProducersAt } from './producer-files.ts'
import { replayBatch } from './rebuild-producers.ts'
import { type SegmentScan, scanSegment } from './scan-segment.ts'
import { SegmentIndexes } from './segment-indexes.ts'

export interface ScanContext {
  readonly disk: Disk
  readonly directory: string
  /** Checksums are computed from here on. */
  readonly provenEnd: number
  /** Below, a bad batch is rot. */
  readonly rotBelow: number
  readonly gapsBelow: number
  readonly copyForward: boolean
  readonly indexIntervalBytes: number
  /** Batches from its offset on are added to it. */
  readonly producersAt: ProducersAt
  readonly nowMs: number
}

export class SegmentRecovery {
  readonly baseOffset: number
  nextOffset: number
  /** What overlaps is no batch of this log. */
  isTailTorn = false
  readonly #context: ScanContext
  readonly #path: string
  readonly #rotten: RottenRange[] = []
  readonly #indexedBases: number[] = []
  #indexes: SegmentIndexes
  /** Where the indexes' segment begins in this file. */
  #origin = 0
  #batches = 0
  #unprovenPosition = -1
  #unprovenOffset = -1
  #rottenBytes = 0
  #scan: SegmentScan | null = null
  #from: { position: number; offset: number } | undefined

  constructor(context: ScanContext, baseOffset: number) {
    this.#context = context
    this.baseOffset = baseOffset
    this.nextOffset = baseOffset
    this.#path = logFilePath(context.directory, baseOffset, 'log')
    this.#indexes = this.#newIndexes(baseOffset)
    this.#seed()
  }

  /** Scans to the end of the file or to `endOffset`, where the next segment begins; goes on where it stopped. */
  scan(endOffset: number | undefined): void {
    const { disk, provenEnd, rotBelow, gapsBelow, producersAt } = this.#context
    this.#scan = scanSegment({
      disk,
      path: this.#path,
      firstOffset: this.baseOffset,
      from: this.#scan === null ? this.#from : this.end,
      endOffset,
      provenOffset: rotBelow,
      // What the producers are taken from is checked, too.
      checkFromOffset: Math.min(provenEnd, producersAt.offset),
      gapsBelowOffset: gapsBelow,
      onBatch: (cursor, isBehindRot) => this.#add(cursor, isBehindRot),
      onRot: range => this.#rotten.push(range),
    })
    this.nextOffset = this.#scan.nextOffset
    this.#rottenBytes += this.#scan.rottenBytes
    producersAt.producers.confirm()
  }

  /** Bytes that are not this segment's lie behind the place where the next one begins. */
  get overlaps(): boolean {
    return this.#scan?.ending === 'overlap'
  }

  get end(): { position: number; offset: number } {
    return { position: this.#scan!.validBytes, offset: this.nextOffset }
  }

  finish(): SegmentVerdict {
    this.#saveIndexes()
    const { validBytes, fileBytes, nextOffset } = this.#scan!
    const hasUnproven = this.#unprovenPosition >= 0
    return {
      baseOffset: this.baseOffset,
      validBytes,
      fileBytes,
      nextOffset,
      unprovenPosition: hasUnproven ? this.#unprovenPosition : validBytes,
      unprovenOffset: hasUnproven ? this.#unprovenOffset : nextOffset,
      indexedBases: this.#indexedBases,
      rotten: this.#rotten,
      error: this.#describe(),
    }
  }

  #seed(): void {
    const { disk, directory, provenEnd, producersAt } = this.#context
    // Batches that the producers' state lacks must be seen.
    const belowOffset = Math.min(provenEnd, producersAt.offset)
    const seed = seedIndexes(disk, directory, this.baseOffset, belowOffset, this.#indexes)
    if (seed === null) return
    this.#from = seed
    this.#batches = 1
  }

  #newIndexes(baseOffset: number): SegmentIndexes {
    const { disk, directory, indexIntervalBytes } = this.#context
    const index = temporaryPath(directory, baseOffset, 'index')
    const timeIndex = temporaryPath(directory, baseOffset, 'timeindex')
    return new SegmentIndexes(disk, baseOffset, index, timeIndex, indexIntervalBytes)
  }

  #add(cursor: BatchCursor, isBehindRot: boolean): void {
    const { provenEnd, copyForward, producersAt, nowMs } = this.#context
    const { position, batchBytes, baseOffset, lastOffset, maxTimestampMs } = cursor
    if (this.#unprovenPosition < 0 && lastOffset >= provenEnd) {
      this.#unprovenPosition = position
      // A whole segment keeps its name, also where compaction took its first records.
      this.#unprovenOffset = position === 0 ? this.baseOffset : baseOffset
      if (copyForward && position > 0) this.#splitIndexes(position, baseOffset)
    }
    this.#batches++
    if (isBehindRot) this.#indexes.bytesSinceEntry = Number.POSITIVE_INFINITY
    this.#indexes.add(position - this.#origin, batchBytes, lastOffset, maxTimestampMs)
    if (baseOffset >= producersAt.offset) replayBatch(cursor, producersAt.producers, nowMs)
  }

  #splitIndexes(position: number, baseOffset: number): void {
    this.#saveIndexes()
    this.#indexes = this.#newIndexes(baseOffset)
    this.#origin = position
  }

  #saveIndexes(): void {
    if (this.#batches === 0) return
    this.#indexes.save()
    this.#indexedBases.push(this.#indexes.offsets.baseOffset)
    this.#batches = 0
  }

  #describe(): string | null {
    const { validBytes, fileBytes, ending } = this.#scan!
    const cutBytes = fileBytes - validBytes
    if (ending === 'torn' || (ending === 'overlap' && cutBytes > 0 && this.isTailTorn)) {
      return `torn: ${cutBytes} bytes from position ${validBytes} on hold no whole batch`
    }
    if (ending === 'suspect') {
      return `suspect: a bad batch at position ${validBytes}, valid ones behind it`
    }
    if (ending === 'overlap' && cutBytes > 0) {
      return `overlap: the next segment holds what follows position ${validBytes}`
    }
    if (this.#rottenBytes > 0) return `rot: ${this.#rottenBytes} bytes below the synced end are bad`
    return null
  }
}
