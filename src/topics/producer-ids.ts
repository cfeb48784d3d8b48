/**
 * Producer ids for idempotent producers (KIP-98): handed out in blocks, a block is on disk before its first id leaves,
 * so no id is ever given twice, whatever crashes. What a crash leaves of a block is skipped. Dispatcher thread.
 */
import { join } from 'node:path'
import { MetadataCorruptError, TwoGenerationFile } from './two-generation-file.ts'

export const PRODUCER_ID_BLOCK = 1000

export class ProducerIds {
  readonly #file: TwoGenerationFile
  readonly #onWarning: (message: string) => void
  #next: number
  /** First id that is not yet covered by the block on disk. */
  #end: number
  #reserving: Promise<void> | null = null

  private constructor(
    file: TwoGenerationFile,
    firstFree: number,
    onWarning: (message: string) => void,
  ) {
    this.#file = file
    this.#onWarning = onWarning
    this.#next = firstFree
    this.#end = firstFree
  }

  /** Reads where the last block ended. Rejects with MetadataCorruptError when that cannot be known. */
  static async open(
    dataDirectory: string,
    onWarning: (message: string) => void = () => {},
  ): Promise<ProducerIds> {
    const path = join(dataDirectory, 'producer-ids')
    const file = new TwoGenerationFile(path, onWarning)
    const content = await file.load()
    const text = content === null ? '0' : content.toString('latin1')
    const firstFree = Number(text)
    if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(firstFree))
      throw new MetadataCorruptError(`${path}-a does not hold a producer id, nothing was changed`)
    return new ProducerIds(file, firstFree, onWarning)
  }

  /** Makes `firstId`, durably, the first one that `open` will hand out; for a directory that has no ids of ours yet. */
  static async startAt(dataDirectory: string, firstId: number): Promise<void> {
    const file = new TwoGenerationFile(join(dataDirectory, 'producer-ids'))
    await file.load()
    await file.save(Buffer.from(String(firstId), 'latin1'))
  }

  /** An id nobody had before. Rejects when a new block is due and cannot be made durable. */
  async next(): Promise<number> {
    while (this.#next === this.#end) {
      this.#reserving ??= this.#reserve().finally(() => {
        this.#reserving = null
      })
      await this.#reserving
    }
    return this.#next++
  }

  async #reserve(): Promise<void> {
    const end = this.#end + PRODUCER_ID_BLOCK
    try {
      await this.#file.save(Buffer.from(String(end), 'latin1'))
    } catch (error) {
      this.#onWarning(`no producer ids can be given out: ${(error as Error).message}`)
      throw error
    }
    this.#end = end
  }
}
