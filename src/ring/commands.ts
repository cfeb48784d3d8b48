/**
 * What the 16 words of a ring slot mean: commands from a dispatcher to an owner, replies from an owner to a
 * dispatcher. 64-bit values are two words, high before low. Zero is neither an op nor a kind, so an
 * untouched slot is nothing.
 *
 *   command | op | partition slot, generation | request ref, generation | region offset, length, generation
 *           | api version | flags | offset hi, lo | max bytes | 3 spare |
 *   reply   | kind | partition slot, generation | request ref, generation | error | base offset hi, lo
 *           | end offset hi, lo | timestamp hi, lo | start | length | needed bytes | region generation |
 *
 * Reading and writing allocates nothing: callers keep one Command and one Reply and fill it again. Shared
 * code, no state.
 */

export const Op = {
  /** Append the batch at the region to the log. Reply: appended; acks=all then waits for the high watermark. */
  append: 1,
  /** Read whole batches from `offset` into the region, at most `maxBytes`. Reply: read. */
  read: 2,
  /** Find the batch of the first record at or after the timestamp in `offset`; its bytes go to the region.
   *  Reply: found. */
  findTime: 3,
  /** Find the batch with the largest timestamp; its bytes go to the region. Reply: found. */
  findMaxTime: 4,
  /** As findTime and findMaxTime, but not in a batch that begins below the log start. Reply: found. */
  findTimeBehindStart: 5,
  findMaxTimeBehindStart: 6,
} as const
export type Op = (typeof Op)[keyof typeof Op]

export const ReplyKind = {
  /** Written to the log file, or failed: the region is the dispatcher's again; acks=1 may be answered. */
  appended: 1,
  /** The region holds the batches asked for: bytes [start, start + length). */
  read: 3,
  /** The region holds the batch found: bytes [start, start + length); length 0 when there is none. */
  found: 4,
  /** Notice without a request: the high watermark of a watched partition moved to `endOffset`. */
  advanced: 5,
  /** Notice without a request: the partition went offline or read-only, `errorCode` says what to answer. */
  failed: 6,
} as const
export type ReplyKind = (typeof ReplyKind)[keyof typeof ReplyKind]

/** Word numbers inside a command slot. */
export const CommandWord = {
  op: 0,
  partitionSlot: 1,
  partitionGeneration: 2,
  requestRef: 3,
  requestGeneration: 4,
  arenaOffset: 5,
  length: 6,
  regionGeneration: 7,
  apiVersion: 8,
  flags: 9,
  offsetHi: 10,
  offsetLo: 11,
  maxBytes: 12,
} as const

/** Word numbers inside a reply slot. */
export const ReplyWord = {
  kind: 0,
  partitionSlot: 1,
  partitionGeneration: 2,
  requestRef: 3,
  requestGeneration: 4,
  errorCode: 5,
  baseOffsetHi: 6,
  baseOffsetLo: 7,
  endOffsetHi: 8,
  endOffsetLo: 9,
  timestampHi: 10,
  timestampLo: 11,
  start: 12,
  length: 13,
  neededBytes: 14,
  regionGeneration: 15,
} as const

export interface Command {
  op: number
  partitionSlot: number
  /** A command for an older opening of the partition is refused. */
  partitionGeneration: number
  /** Index in the dispatcher's table of requests, echoed in the reply. */
  requestRef: number
  requestGeneration: number
  /** Byte offset in the arena: the batch to append (request arena) or where to put what is read (response arena). */
  arenaOffset: number
  length: number
  regionGeneration: number
  apiVersion: number
  flags: number
  /** Fetch offset, or the timestamp (ms) for findTime; int64. */
  offset: number
  maxBytes: number
}

export interface Reply {
  kind: number
  partitionSlot: number
  partitionGeneration: number
  requestRef: number
  requestGeneration: number
  errorCode: number
  /** First offset appended or read; int64. */
  baseOffset: number
  /** One past the last offset appended or read, with CORRUPT_MESSAGE the next good one; the high watermark; int64. */
  endOffset: number
  /** Log append time, or the timestamp found or refused, ms since 1970, -1 when none; int64. */
  timestampMs: number
  /**
   * First byte of the answer, counted from the region's offset. Of a refused append: index of the record that breaks a
   * rule of the topic, -1 when no record is to blame.
   */
  start: number
  length: number
  /** How large a region the first batch needs, when it did not fit. */
  neededBytes: number
  regionGeneration: number
}

/** A Command to fill again and again. */
export function emptyCommand(): Command {
  return {
    op: 0,
    partitionSlot: 0,
    partitionGeneration: 0,
    requestRef: 0,
    requestGeneration: 0,
    arenaOffset: 0,
    length: 0,
    regionGeneration: 0,
    apiVersion: 0,
    flags: 0,
    offset: 0,
    maxBytes: 0,
  }
}

/** A Reply to fill again and again. */
export function emptyReply(): Reply {
  return {
    kind: 0,
    partitionSlot: 0,
    partitionGeneration: 0,
    requestRef: 0,
    requestGeneration: 0,
    errorCode: 0,
    baseOffset: 0,
    endOffset: 0,
    timestampMs: 0,
    start: 0,
    length: 0,
    neededBytes: 0,
    regionGeneration: 0,
  }
}

const TWO_TO_32 = 4_294_967_296

/** High word of an int64 held as a number: exact for every safe integer, negative ones included. */
export function highWord(value: number): number {
  return Math.floor(value / TWO_TO_32) | 0
}

/** Low word: the number modulo 2^32, as `|` defines it. */
export function lowWord(value: number): number {
  return value | 0
}

/** The number that highWord and lowWord took apart. */
export function fromWords(high: number, low: number): number {
  return high * TWO_TO_32 + (low >>> 0)
}

/** Writes every word of a command into the slot at `at`. */
export function writeCommand(words: Int32Array, at: number, command: Command): void {
  words[at + CommandWord.op] = command.op
  words[at + CommandWord.partitionSlot] = command.partitionSlot
  words[at + CommandWord.partitionGeneration] = command.partitionGeneration
  words[at + CommandWord.requestRef] = command.requestRef
  words[at + CommandWord.requestGeneration] = command.requestGeneration
  words[at + CommandWord.arenaOffset] = command.arenaOffset
  words[at + CommandWord.length] = command.length
  words[at + CommandWord.regionGeneration] = command.regionGeneration
  words[at + CommandWord.apiVersion] = command.apiVersion
  words[at + CommandWord.flags] = command.flags
  words[at + CommandWord.offsetHi] = highWord(command.offset)
  words[at + CommandWord.offsetLo] = lowWord(command.offset)
  words[at + CommandWord.maxBytes] = command.maxBytes
}

/** Inverse of writeCommand. */
export function readCommand(words: Int32Array, at: number, into: Command): void {
  into.op = words[at + CommandWord.op]
  into.partitionSlot = words[at + CommandWord.partitionSlot]
  into.partitionGeneration = words[at + CommandWord.partitionGeneration]
  into.requestRef = words[at + CommandWord.requestRef]
  into.requestGeneration = words[at + CommandWord.requestGeneration]
  into.arenaOffset = words[at + CommandWord.arenaOffset]
  into.length = words[at + CommandWord.length]
  into.regionGeneration = words[at + CommandWord.regionGeneration]
  into.apiVersion = words[at + CommandWord.apiVersion]
  into.flags = words[at + CommandWord.flags]
  into.offset = fromWords(words[at + CommandWord.offsetHi], words[at + CommandWord.offsetLo])
  into.maxBytes = words[at + CommandWord.maxBytes]
}

/** Writes every word of a reply into the slot at `at`. */
export function writeReply(words: Int32Array, at: number, reply: Reply): void {
  words[at + ReplyWord.kind] = reply.kind
  words[at + ReplyWord.partitionSlot] = reply.partitionSlot
  words[at + ReplyWord.partitionGeneration] = reply.partitionGeneration
  words[at + ReplyWord.requestRef] = reply.requestRef
  words[at + ReplyWord.requestGeneration] = reply.requestGeneration
  words[at + ReplyWord.errorCode] = reply.errorCode
  words[at + ReplyWord.baseOffsetHi] = highWord(reply.baseOffset)
  words[at + ReplyWord.baseOffsetLo] = lowWord(reply.baseOffset)
  words[at + ReplyWord.endOffsetHi] = highWord(reply.endOffset)
  words[at + ReplyWord.endOffsetLo] = lowWord(reply.endOffset)
  words[at + ReplyWord.timestampHi] = highWord(reply.timestampMs)
  words[at + ReplyWord.timestampLo] = lowWord(reply.timestampMs)
  words[at + ReplyWord.start] = reply.start
  words[at + ReplyWord.length] = reply.length
  words[at + ReplyWord.neededBytes] = reply.neededBytes
  words[at + ReplyWord.regionGeneration] = reply.regionGeneration
}

/** Inverse of writeReply. */
export function readReply(words: Int32Array, at: number, into: Reply): void {
  into.kind = words[at + ReplyWord.kind]
  into.partitionSlot = words[at + ReplyWord.partitionSlot]
  into.partitionGeneration = words[at + ReplyWord.partitionGeneration]
  into.requestRef = words[at + ReplyWord.requestRef]
  into.requestGeneration = words[at + ReplyWord.requestGeneration]
  into.errorCode = words[at + ReplyWord.errorCode]
  into.baseOffset = fromWords(
    words[at + ReplyWord.baseOffsetHi],
    words[at + ReplyWord.baseOffsetLo],
  )
  into.endOffset = fromWords(words[at + ReplyWord.endOffsetHi], words[at + ReplyWord.endOffsetLo])
  into.timestampMs = fromWords(words[at + ReplyWord.timestampHi], words[at + ReplyWord.timestampLo])
  into.start = words[at + ReplyWord.start]
  into.length = words[at + ReplyWord.length]
  into.neededBytes = words[at + ReplyWord.neededBytes]
  into.regionGeneration = words[at + ReplyWord.regionGeneration]
}
