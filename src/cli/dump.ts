/**
 * Prints a segment's files (Apache Kafka's own format). Reads a window at a time: a segment may be a gigabyte.
 *
 *   .log        | batch | batch | ...                 see src/protocol/record-batch.ts
 *   .index      | relative offset i32 | position i32 | ...
 *   .timeindex  | timestamp i64 | relative offset i32 | ...
 */
import { once } from 'node:events'
import { type FileHandle, open } from 'node:fs/promises'
import { basename, extname } from 'node:path'
import { RecordCursor } from '../client/record-cursor.ts'
import { codecNames } from '../protocol/compression.ts'
import {
  attributesAt,
  BATCH_HEADER_BYTES,
  baseOffsetAt,
  baseSequenceAt,
  batchBytesAt,
  codecAt,
  isControl,
  isCrcValid,
  isLogAppendTime,
  isTransactional,
  lastOffsetAt,
  leaderEpochAt,
  magicAt,
  maxTimestampAt,
  producerEpochAt,
  producerIdAt,
  recordCountAt,
} from '../protocol/record-batch.ts'
import { UsageError } from './failure.ts'
import type { DumpFlags } from './log.ts'
import { jsonBytes } from './record-printer.ts'

const windowBytes = 1024 * 1024
/** A size field of a broken file must not buy memory: no broker takes batches of that size. */
const batchBytesMax = 256 * 1024 * 1024

/** @throws an Error that names the first byte that is not what it should be, after everything before it was printed */
export async function dumpFile(path: string, flags: DumpFlags): Promise<void> {
  const kind = extname(path)
  if (!['.log', '.index', '.timeindex'].includes(kind)) {
    throw new UsageError(`${path}: not a .log, .index or .timeindex file`)
  }
  const baseOffset = Number(/^(\d{20})\./.exec(basename(path))?.[1] ?? 0)
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`)
  })
  const printer = new Printer(process.stdout)
  try {
    if (kind === '.log') await dumpLog(path, file, flags, printer)
    else await dumpIndex(kind, baseOffset, file, flags, printer)
  } finally {
    await printer.flush()
    await file.close()
  }
}

/** Lines gathered into writes of a useful size, at the pace of whoever reads them. */
class Printer {
  readonly #stream: NodeJS.WriteStream
  #text = ''

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream
  }

  async line(line: string): Promise<void> {
    this.#text += `${line}\n`
    if (this.#text.length > 64 * 1024) await this.flush()
  }

  async flush(): Promise<void> {
    const text = this.#text
    this.#text = ''
    if (text !== '' && !this.#stream.write(text)) await once(this.#stream, 'drain')
  }
}

async function dumpLog(path: string, file: FileHandle, flags: DumpFlags, printer: Printer) {
  const { size: fileBytes } = await file.stat()
  let window: Buffer = Buffer.alloc(0)
  let nextOffset = -1
  let position = 0
  let windowStart = 0
  while (position < fileBytes) {
    const fail = (why: string): never => {
      throw new Error(
        `${path}: byte ${position}: ${why}; ${fileBytes - position} bytes from here on`,
      )
    }
    const load = async (wantedBytes: number): Promise<void> => {
      if (position + wantedBytes <= windowStart + window.length) return
      window = await readAt(file, position, Math.max(windowBytes, wantedBytes))
      windowStart = position
      if (window.length < wantedBytes) fail('a batch cut short')
    }
    await load(BATCH_HEADER_BYTES)
    const at = position - windowStart
    const batchBytes = batchBytesAt(window, at)
    if (magicAt(window, at) !== 2) fail(`magic ${magicAt(window, at)}, not a batch`)
    if (batchBytes < BATCH_HEADER_BYTES || batchBytes > batchBytesMax) {
      fail(`a batch of ${batchBytes} bytes`)
    }
    await load(batchBytes)
    const start = position - windowStart
    const batch = window.subarray(start, start + batchBytes)
    if (!isCrcValid(batch, 0, batchBytes)) fail('CRC-32C does not match')
    if (baseOffsetAt(batch, 0) < nextOffset) fail(`offset ${baseOffsetAt(batch, 0)} goes back`)
    nextOffset = lastOffsetAt(batch, 0) + 1
    await printBatch(batch, position, flags, printer)
    position += batchBytes
  }
}

async function printBatch(batch: Buffer, position: number, flags: DumpFlags, printer: Printer) {
  const attributes = attributesAt(batch, 0)
  const fields = {
    position,
    baseOffset: baseOffsetAt(batch, 0),
    lastOffset: lastOffsetAt(batch, 0),
    count: recordCountAt(batch, 0),
    sizeBytes: batch.length,
    codec: codecNames[codecAt(batch, 0)] ?? 'unknown',
    maxTimestamp: maxTimestampAt(batch, 0),
    timestampType: isLogAppendTime(attributes) ? 'LogAppendTime' : 'CreateTime',
    leaderEpoch: leaderEpochAt(batch, 0),
    producerId: producerIdAt(batch, 0),
    producerEpoch: producerEpochAt(batch, 0),
    baseSequence: baseSequenceAt(batch, 0),
    isTransactional: isTransactional(attributes),
    isControl: isControl(attributes),
  }
  const isOpened = flags.records && !fields.isControl
  if (flags.json) {
    const records = isOpened ? { records: [...recordsOf(batch)] } : {}
    return printer.line(JSON.stringify({ ...fields, ...records }))
  }
  const words = Object.entries(fields).map(([name, value]) => `${name}: ${value}`)
  await printer.line(words.join(' '))
  if (!isOpened) return
  for (const record of recordsOf(batch)) {
    const words = Object.entries(record).map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
    await printer.line(`| ${words.join(' ')}`)
  }
}

function* recordsOf(batch: Buffer) {
  const cursor = new RecordCursor({ checkCrc: false }).reset(batch)
  while (cursor.advance()) {
    yield {
      offset: cursor.offset,
      timestamp: cursor.timestampMs,
      key: jsonBytes(cursor.key()),
      value: jsonBytes(cursor.value()),
      headers: cursor.headers().map(([name, value]) => [name, jsonBytes(value)]),
    }
  }
}

/** Entries of an offset or time index, with absolute offsets. Kafka fills the file of an active segment with zeros. */
async function dumpIndex(
  kind: string,
  baseOffset: number,
  file: FileHandle,
  flags: DumpFlags,
  printer: Printer,
): Promise<void> {
  const isTime = kind === '.timeindex'
  const entryBytes = isTime ? 12 : 8
  const chunkBytes = entryBytes * 8192
  for (let position = 0; ; position += chunkBytes) {
    const entries = await readAt(file, position, chunkBytes)
    for (let at = 0; at + entryBytes <= entries.length; at += entryBytes) {
      const isFill = entries.subarray(at, at + entryBytes).every(byte => byte === 0)
      if (isFill && position + at > 0) return
      const offset = baseOffset + entries.readInt32BE(isTime ? at + 8 : at)
      const entry = isTime
        ? { timestamp: Number(entries.readBigInt64BE(at)), offset }
        : { offset, position: entries.readInt32BE(at + 4) }
      const words = Object.entries(entry).map(([name, value]) => `${name}: ${value}`)
      await printer.line(flags.json ? JSON.stringify(entry) : words.join(' '))
    }
    if (entries.length < chunkBytes) return
  }
}

/** What the file holds from `position` on, at most `sizeBytes`. */
async function readAt(file: FileHandle, position: number, sizeBytes: number): Promise<Buffer> {
  const { size: fileBytes } = await file.stat()
  const bytes = Buffer.allocUnsafe(Math.min(sizeBytes, Math.max(0, fileBytes - position)))
  let length = 0
  while (length < bytes.length) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, position + length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return bytes.subarray(0, length)
}
