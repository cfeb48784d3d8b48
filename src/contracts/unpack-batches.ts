/** Input and result of the task that decompresses the batches of one read. Types only. */

export interface UnpackInput {
  /** Arena that holds the batches at [start, start + length); nobody changes it while the task runs. */
  readonly memory: SharedArrayBuffer
  readonly start: number
  readonly length: number
  /** decompressed.max.bytes: of one batch. All together stop there, too, behind the first. */
  readonly decompressedBytesMax: number
}

export interface UnpackedBatches {
  /** The same batches with plain records. */
  readonly bytes: Uint8Array
  /** Behind the last batch of `bytes`; -1 when there is none. */
  readonly nextOffset: number
  /** The batch behind them cannot be unpacked: why, and where the one after it begins. */
  readonly bad: { readonly message: string; readonly nextOffset: number } | null
}
