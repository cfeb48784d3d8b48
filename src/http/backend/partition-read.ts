/**
 * One read of one partition for a reader that wants records, not batches: the fetch of the wire (long poll, high
 * watermark, lost ranges), then compressed batches through a task of the pool. Dispatcher thread.
 */
import { nextOffsetAfter, RecordCursor } from '../../client/record-cursor.ts'
import type { UnpackedBatches, UnpackInput } from '../../contracts/unpack-batches.ts'
import { type FetchCaller, FetchOperation } from '../../fetching/fetch-operation.ts'
import type { ResponseRow } from '../../fetching/fetch-row.ts'
import { emptyOffsetView } from '../../partitions/offset-table.ts'
import { Errors, errorName } from '../../protocol/errors.ts'
import { fetchRequestFor, fetchTopic } from '../../protocol/fetch-request.ts'
import { BATCH_HEADER_BYTES, batchBytesAt, codecAt } from '../../protocol/record-batch.ts'
import type { Region } from '../../ring/arena.ts'
import type { Services } from '../../services.ts'
import type { ReadCall, ReadPage } from './log-backend.ts'

/** Last version that names topics by name. */
const fetchVersion = 12
const nothing = Buffer.alloc(0)
const noRelease = (): void => {}
const emptyView = emptyOffsetView()

interface Read {
  readonly row: ResponseRow
  readonly regions: Region[]
}

export class PartitionRead implements FetchCaller {
  readonly apiVersion = fetchVersion
  onAbandoned: (() => void) | null = null
  readonly #call: ReadCall
  readonly #services: Services
  readonly #read = Promise.withResolvers<Read>()
  #nextGoodOffset = -1

  constructor(call: ReadCall, services: Services) {
    this.#call = call
    this.#services = services
  }

  get abandoned(): boolean {
    return this.#call.signal?.aborted ?? false
  }

  noteLost(nextGoodOffset: number): void {
    this.#nextGoodOffset = nextGoodOffset
  }

  respondWithRegions(response: { responses: { partitions: ResponseRow[] }[] }, regions: Region[]) {
    // Whoever asked has gone in the very turn in which the answer came.
    if (this.abandoned) this.#releaseOnce(regions)()
    this.#read.resolve({ row: response.responses[0].partitions[0], regions })
  }

  async run(): Promise<ReadPage> {
    const { topic, partition, offset, bytesMax, waitMs, signal } = this.#call
    const wish = { partition, fetchOffset: offset, maxBytes: bytesMax }
    const terms = { maxWaitMs: waitMs, minBytes: waitMs > 0 ? 1 : 0, maxBytes: bytesMax }
    const request = fetchRequestFor(terms, [fetchTopic(topic, [wish])])
    const context = { topics: request.topics, finish: noRelease }
    const aborted = (): void => {
      this.onAbandoned?.()
      this.#read.reject(signal?.reason)
    }
    signal?.addEventListener('abort', aborted)
    try {
      if (signal?.aborted === true) return this.#empty()
      new FetchOperation(request, context, this, this.#services).start()
      return await this.#page(await this.#read.promise)
    } catch (error) {
      if (signal?.aborted === true) return this.#empty()
      throw error
    } finally {
      signal?.removeEventListener('abort', aborted)
    }
  }

  async #page({ row, regions }: Read): Promise<ReadPage> {
    const release = this.#releaseOnce(regions)
    const { highWatermark, logStartOffset: logStart, errorCode } = row
    const { offset } = this.#call
    if (errorCode !== Errors.NONE) {
      release()
      return this.#failed(errorCode)
    }
    const blob = (row.records ?? nothing) as Buffer
    const base = { errorCode, message: '', highWatermark, logStart }
    if (!hasCompressed(blob)) {
      const nextOffset = Math.max(offset, nextOffsetAfter(blob))
      return { ...base, cursor: cursorOver(blob, offset, highWatermark), nextOffset, release }
    }
    const unpacked = await this.#unpack(blob).finally(release)
    if (unpacked.nextOffset < 0) return this.#undecodable(unpacked)
    const { bytes, nextOffset } = unpacked
    const plain = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const cursor = cursorOver(plain, offset, highWatermark)
    return { ...base, cursor, nextOffset: Math.max(offset, nextOffset), release: noRelease }
  }

  #unpack(blob: Buffer): Promise<UnpackedBatches> {
    const { dispatcher, tasks, config } = this.#services
    const input: UnpackInput = {
      memory: dispatcher.responses.arena.sab,
      start: blob.byteOffset,
      length: blob.length,
      decompressedBytesMax: config.limits.decompressedBytesMax,
    }
    return tasks.run<UnpackedBatches>('tasks/unpack-batches', input)
  }

  #releaseOnce(regions: readonly Region[]): () => void {
    let isReleased = false
    return () => {
      if (isReleased) return
      isReleased = true
      for (const region of regions) this.#services.dispatcher.responses.free(region)
    }
  }

  #undecodable({ bad }: UnpackedBatches): ReadPage {
    const { topic, partition, offset } = this.#call
    const next = bad?.nextOffset ?? offset
    const why = `the batch at offset ${offset} of ${topic}-${partition} cannot be unpacked`
    const message = `${why} (${bad?.message ?? 'no batch'}): read on at ${next}`
    return { ...this.#empty(), errorCode: Errors.CORRUPT_MESSAGE, message, nextOffset: next }
  }

  #failed(errorCode: number): ReadPage {
    const { topic, partition, offset } = this.#call
    const { services, view } = { services: this.#services, view: this.#offsets() }
    const place = `${topic}-${partition}`
    const sentences = new Map<number, string>([
      [
        Errors.OFFSET_OUT_OF_RANGE,
        `offset ${offset} is not in ${place}, which holds ${view.logStart} to ${view.highWatermark}`,
      ],
      [
        Errors.CORRUPT_MESSAGE,
        `records of ${place} from offset ${offset} on are damaged: read on at ${this.#nextGoodOffset}`,
      ],
      [
        Errors.UNKNOWN_TOPIC_OR_PARTITION,
        services.topics.get(topic) === undefined
          ? `topic ${JSON.stringify(topic)} does not exist`
          : `topic ${topic} has no partition ${partition}`,
      ],
      [
        Errors.KAFKA_STORAGE_ERROR,
        `${place} is offline: see /readyz, then "odradek log recover ${place}"`,
      ],
    ])
    const isLost = errorCode === Errors.CORRUPT_MESSAGE
    return {
      ...this.#empty(),
      errorCode,
      message: sentences.get(errorCode) ?? `${place}: ${errorName(errorCode)}, try again`,
      nextOffset: isLost ? this.#nextGoodOffset : offset,
      ...view,
    }
  }

  #offsets(): { logStart: number; highWatermark: number } {
    const { topic, partition } = this.#call
    const { topics, offsets } = this.#services
    const row = topics.partition(topic, partition)
    const view = row && offsets.read(row.slot, row.generation, emptyView) ? emptyView : null
    return { logStart: view?.logStart ?? -1, highWatermark: view?.highWatermark ?? -1 }
  }

  #empty(): ReadPage {
    const { offset } = this.#call
    return {
      errorCode: Errors.NONE,
      message: '',
      cursor: cursorOver(nothing, 0, 0),
      nextOffset: offset,
      highWatermark: -1,
      logStart: -1,
      release: noRelease,
    }
  }
}

/** The owner has checked the CRCs. */
function cursorOver(blob: Buffer, fromOffset: number, highWatermark: number): RecordCursor {
  return new RecordCursor({ checkCrc: false }).reset(blob, fromOffset, highWatermark)
}

function hasCompressed(blob: Buffer): boolean {
  for (let pos = 0; pos + BATCH_HEADER_BYTES <= blob.length; pos += batchBytesAt(blob, pos)) {
    if (codecAt(blob, pos) !== 0) return true
  }
  return false
}
