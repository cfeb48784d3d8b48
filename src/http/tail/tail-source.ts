/**
 * Reads the partitions of one kind of stream and makes chunks of what it finds: records, or a notice of what cannot be
 * read any more. Dispatcher thread.
 */
import { labelled, type ThreadMetrics } from '../../metrics.ts'
import { Errors } from '../../protocol/errors.ts'
import type { LogBackend, ReadPage } from '../backend/log-backend.ts'
import { type Chunk, ChunkMaker, type StreamShape } from './chunk.ts'
import type { Pacer } from './pacer.ts'

/** Bytes of batches that one read asks for. */
const readBytesMax = 128 * 1024

export interface TailRead {
  readonly slot: number
  /** Where the stream stands; `take` moves it on. */
  readonly positions: readonly number[]
  /** Records from here on are not taken. */
  readonly until: number
  /** Asked before every chunk: false ends the read. */
  wants(): boolean
  take(chunk: Chunk): void
}

/** `failed`: try again later, `message` says why. `gone`: there is no such partition any more. */
export interface ReadOutcome {
  readonly state: 'done' | 'failed' | 'gone'
  readonly errorCode: number
  readonly message: string
}

const done: ReadOutcome = { state: 'done', errorCode: Errors.NONE, message: '' }

export class TailSource {
  readonly maker: ChunkMaker
  readonly #shape: StreamShape
  readonly #backend: LogBackend
  readonly #pacer: Pacer
  readonly #metrics: ThreadMetrics
  readonly #readsId: number

  constructor(
    shape: StreamShape,
    by: 'shared' | 'own',
    { backend, pacer, metrics }: { backend: LogBackend; pacer: Pacer; metrics: ThreadMetrics },
  ) {
    this.maker = new ChunkMaker(shape)
    this.#shape = shape
    this.#backend = backend
    this.#pacer = pacer
    this.#metrics = metrics
    this.#readsId = labelled('tailReads', by)
  }

  /** One read of one partition: hands over chunks for what it finds. */
  async read(want: TailRead): Promise<ReadOutcome> {
    const page = await this.#page(want, readBytesMax)
    if (page.errorCode !== Errors.NONE) return this.#refused(want, page)
    let rest: string = 'more'
    try {
      while (rest === 'more') rest = await this.#pacer.run(() => this.#piece(want, page))
    } finally {
      page.release()
    }
    return rest === 'damaged' ? await this.#skipBatch(want) : done
  }

  #page({ slot, positions }: TailRead, bytesMax: number): Promise<ReadPage> {
    this.#metrics.add(this.#readsId, 1)
    const { topic, partitions } = this.#shape
    const [partition, offset] = [partitions[slot], positions[slot]]
    return this.#backend.read({ topic, partition, offset, bytesMax, waitMs: 0 })
  }

  #piece(want: TailRead, page: ReadPage): 'more' | 'none' | 'damaged' {
    if (!want.wants()) return 'none'
    const { slot, positions, until } = want
    const pageEnd = Math.min(page.nextOffset, page.highWatermark)
    const { chunk, rest } = this.maker.records(page.cursor, slot, positions, until, pageEnd)
    if (chunk.next > chunk.from) want.take(chunk)
    return rest
  }

  /** The records of a batch are not what its header claims: everything in it that has not been sent is lost. */
  async #skipBatch(want: TailRead): Promise<ReadOutcome> {
    // A read of the smallest size gives one batch: where it ends is known without its records.
    const page = await this.#page(want, 1)
    page.release()
    return this.#damaged(want, page)
  }

  #refused(want: TailRead, page: ReadPage): ReadOutcome {
    page.release()
    const { errorCode, message, logStart, highWatermark } = page
    if (errorCode === Errors.UNKNOWN_TOPIC_OR_PARTITION)
      return { state: 'gone', errorCode, message }
    if (errorCode === Errors.CORRUPT_MESSAGE) return this.#damaged(want, page)
    const position = want.positions[want.slot]
    if (errorCode === Errors.OFFSET_OUT_OF_RANGE && logStart > position) {
      this.#tellLost(
        want,
        logStart,
        'deleted',
        'these records were deleted by retention or a client',
      )
      return done
    }
    if (
      errorCode === Errors.OFFSET_OUT_OF_RANGE &&
      highWatermark >= 0 &&
      highWatermark < position
    ) {
      want.take(resetNotice(this.maker, want.slot, want.positions, highWatermark, highWatermark))
      return done
    }
    return { state: 'failed', errorCode, message }
  }

  #damaged(want: TailRead, { errorCode, message, nextOffset }: ReadPage): ReadOutcome {
    if (nextOffset <= want.positions[want.slot]) return { state: 'failed', errorCode, message }
    this.#tellLost(want, nextOffset, 'damaged', message || 'these records cannot be decoded')
    return done
  }

  #tellLost(want: TailRead, to: number, reason: string, message: string): void {
    const { slot, positions } = want
    const about = { from: String(positions[slot]), to: String(to), reason, message }
    want.take(this.maker.notice('lost', slot, positions, to, about))
  }
}

/** Tells that a partition ends before the position that a client wants to go on at. */
export function resetNotice(
  maker: ChunkMaker,
  slot: number,
  positions: readonly number[],
  next: number,
  logEnd: number,
): Chunk {
  const message =
    `the partition ends at ${logEnd}: its topic was made anew, or its newest records were lost. ` +
    `The stream goes on at ${next}`
  const about = { from: String(positions[slot]), to: String(next), message }
  return maker.notice('reset', slot, positions, next, about)
}
