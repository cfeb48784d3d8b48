/** A LogBackend of one topic in memory, whose reads take a turn and whose partitions can be cut off. */
import { RecordCursor } from '../../../src/client/record-cursor.ts'
import type { LogBackend, ReadCall, ReadPage } from '../../../src/http/backend/log-backend.ts'
import { Errors } from '../../../src/protocol/errors.ts'
import { encodeBatch } from '../../../src/protocol/record-batch.ts'

interface Log {
  readonly batches: { readonly from: number; readonly next: number; readonly bytes: Buffer }[]
  logStart: number
  end: number
  isOffline: boolean
  readonly watchers: Set<() => void>
}

const newLog = (): Log => ({
  batches: [],
  logStart: 0,
  end: 0,
  isOffline: false,
  watchers: new Set(),
})

export class MemoryLog {
  readonly logs: Log[]
  reads = 0
  /** Reads under way, and most of them at once. */
  reading = 0
  readingMax = 0
  readonly backend = {
    topic: () => ({ name: 't', id: 'id', isInternal: false, partitionCount: this.logs.length }),
    offsets: (_: string, partition: number) => this.#offsets(partition),
    read: (call: ReadCall) => this.#read(call),
    watch: (_: string, partition: number, moved: () => void) => {
      this.logs[partition].watchers.add(moved)
      return () => void this.logs[partition].watchers.delete(moved)
    },
  } as unknown as LogBackend

  constructor(partitions: number) {
    this.logs = Array.from({ length: partitions }, newLog)
  }

  addPartition(): void {
    this.logs.push(newLog())
  }

  /** Appends records in one batch; each value is its partition and offset. */
  append(partition: number, count: number, padding = 0): void {
    const log = this.logs[partition]
    const records = Array.from({ length: count }, (_, i) => ({
      key: null,
      value: Buffer.from(`${partition}:${log.end + i}`.padEnd(padding, '.')),
    }))
    const bytes = encodeBatch({ records })
    bytes.writeBigInt64BE(BigInt(log.end), 0)
    log.batches.push({ from: log.end, next: log.end + count, bytes })
    log.end += count
    this.#moved(log)
  }

  /** As retention: whole batches below the offset go. */
  deleteBefore(partition: number, offset: number): void {
    const log = this.logs[partition]
    log.logStart = Math.min(Math.max(log.logStart, offset), log.end)
    this.#moved(log)
  }

  setOffline(partition: number, isOffline: boolean): void {
    this.logs[partition].isOffline = isOffline
    this.#moved(this.logs[partition])
  }

  #moved(log: Log): void {
    setImmediate(() => {
      for (const moved of log.watchers) moved()
    })
  }

  #offsets(partition: number) {
    const log = this.logs[partition]
    if (log.isOffline) return null
    return { logStart: log.logStart, highWatermark: log.end, isWritable: true }
  }

  async #read({ partition, offset, bytesMax }: ReadCall): Promise<ReadPage> {
    this.reads++
    this.reading++
    this.readingMax = Math.max(this.readingMax, this.reading)
    await new Promise(resolve => setImmediate(resolve))
    const { batches, logStart, end, isOffline } = this.logs[partition]
    const chosen: Buffer[] = []
    let bytes = 0
    let nextOffset = offset
    const isOut = offset < logStart || offset > end
    for (const batch of isOut || isOffline ? [] : batches) {
      if (batch.next <= offset || (bytes > 0 && bytes + batch.bytes.length > bytesMax)) continue
      if (nextOffset !== offset && batch.from !== nextOffset) break
      chosen.push(batch.bytes)
      bytes += batch.bytes.length
      nextOffset = batch.next
    }
    const refused = isOut ? Errors.OFFSET_OUT_OF_RANGE : Errors.NONE
    return {
      errorCode: isOffline ? Errors.KAFKA_STORAGE_ERROR : refused,
      message: isOffline ? 'offline' : '',
      cursor: new RecordCursor().reset(Buffer.concat(chosen), offset, end),
      nextOffset,
      highWatermark: end,
      logStart,
      release: () => {
        this.reading--
      },
    }
  }
}
