/**
 * What an owner thread is born with (workerData): the memory it shares with the dispatchers. Types and sizes only.
 * Rings and doorbells are new for every incarnation of an owner; arenas, offset table and metrics live on.
 */
import type { MessagePort } from 'node:worker_threads'

export interface OwnerBoot {
  readonly ownerIndex: number
  /** Per dispatcher: the arenas it allocates from and the rings between it and this owner. */
  readonly links: readonly OwnerLinkMemory[]
  /** This owner's doorbell: word of its own in `doorbells`. */
  readonly doorbells: SharedArrayBuffer
  readonly doorbellIndex: number
  readonly offsetTable: SharedArrayBuffer
  readonly partitionsMax: number
  readonly metrics: SharedArrayBuffer
  readonly metricsThread: number
  /** See src/ring/pulse.ts. */
  readonly pulse: SharedArrayBuffer
  readonly settings: OwnerSettings
  /** See workers/clock-memory.ts: `clockMemoryBytes`, the same for all threads of this owner. */
  readonly clockMemory: SharedArrayBuffer
  /** Sealed segments it may keep open for readers. */
  readonly sealedFilesMax: number
  /** Answered by the dispatcher, as OwnerHost over comlink. */
  readonly hostPort: MessagePort
}

/** What an owner does by itself, between requests. */
export interface OwnerSettings {
  /** Absolute; its file system is the one whose free space counts. */
  readonly dataDirectory: string
  /** log.retention.check.interval.ms */
  readonly retentionCheckMs: number
  /** log.cleaner.backoff.ms: between looks for a log worth compacting */
  readonly cleanerBackoffMs: number
  /** log.cleaner.dedupe.buffer.size: key map of one pass */
  readonly cleanerMapBytes: number
  /** log.cleaner.io.max.bytes.per.second */
  readonly cleanerBytesPerSecondMax: number
  /** log.scrub.interval.ms: every byte is checked once in this time; 0 for never */
  readonly scrubIntervalMs: number
  /** log.scrub.io.max.bytes.per.second */
  readonly scrubBytesPerSecondMax: number
  /** journal.bytes, or 0 for no journal */
  readonly journalBytes: number
  /** disk.reserve.bytes; -1 for the smaller of 256 MiB and 5 % of the file system */
  readonly diskReserveBytes: number
  /** producer.id.expiration.ms */
  readonly producerIdleMsMax: number
  /** decompressed.max.bytes: of one batch, where it is decompressed at all */
  readonly decompressedBytesMax: number
}

export interface OwnerLinkMemory {
  readonly requestArena: SharedArrayBuffer
  readonly responseArena: SharedArrayBuffer
  readonly commandRing: SharedArrayBuffer
  readonly replyRing: SharedArrayBuffer
  readonly doorbells: SharedArrayBuffer
  readonly doorbellIndex: number
}

export const clockMemoryBytes = 4 * Float64Array.BYTES_PER_ELEMENT

/** Slots of the ring from one dispatcher to one owner; each command is answered by exactly one reply. */
export const commandSlots = 4096

/** A dispatcher hands reply slots back when it has taken so many, or all there are. */
export const repliesPerRelease = 64

/**
 * Commands that one dispatcher may have outstanding at one owner. The slots of replies it has taken and not yet handed
 * back are spared: the commands these answered may have been followed by new ones, the notices been sent again.
 */
export const outstandingMax = commandSlots - 2 * repliesPerRelease

/** Replies never wait for room: every outstanding command and one notice per partition fit. */
export function replySlots(partitionsMax: number): number {
  let slots = commandSlots
  while (slots < commandSlots + partitionsMax) slots *= 2
  return slots
}
