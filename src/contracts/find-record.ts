/** Input and result of the task that finds a record by time in one batch. Types only. */

export interface FindRecordInput {
  /** Arena that holds the batch at [start, start + length); nobody changes it while the task runs. */
  readonly memory: SharedArrayBuffer
  readonly start: number
  readonly length: number
  readonly timestampMs: number
  /** Records below are not there any more. */
  readonly fromOffset: number
  /** decompressed.max.bytes */
  readonly decompressedBytesMax?: number
}

export interface FoundRecord {
  readonly offset: number
  readonly timestampMs: number
}
