/**
 * What `bench paper` asks of a system it measures, odradek among them: one start, one load to one queue, one reader of
 * it, one stop. Each system is a file of this folder that knows how it is started, which settings make it keep what it
 * promises, and which tool loads it best.
 *
 *   prepare ── once          start ── produce (warm-up) ── produce ── consume ── stop      for every run, from nothing
 */

/**
 * What a producer is told, and when: `fire` nothing, the paper's case; `answered` that the broker has it, in memory or
 * the page cache; `synced` that the disk has it.
 */
export const levels = ['fire', 'answered', 'synced'] as const
export type Level = (typeof levels)[number]

export interface RivalCase {
  readonly level: Level
  /** Messages that travel, or are settled, together. */
  readonly batch: number
  /** In its own words: acknowledgement, and when what is acknowledged reaches the disk. */
  readonly durability: string
  /** Whether the log of this case is read afterwards. */
  readonly consumes: boolean
}

/** Totals at a moment, counted from the first message. */
export interface CurvePoint {
  readonly seconds: number
  readonly messages: number
}

export interface LoadFigures {
  readonly messages: number
  readonly seconds: number
  /** In order, without the start; empty when the tool reports only its end. */
  readonly curve: readonly CurvePoint[]
  /** What the broker holds of this load, when the driver knows it to be other than `messages` or cut short. */
  readonly storedMessages?: number
  /** Of the driver's processes, its start included; NaN when it was too short to be seen. */
  readonly clientCpuSeconds: number
}

export interface Load {
  /** Name of the queue, topic or stream. */
  readonly queue: string
  readonly messages: number
  readonly messageBytes: number
  /** Ends the load when it comes first. */
  readonly seconds: number
  /** Where the driver may leave files. */
  readonly directory: string
}

export interface RunningRival {
  /** What all its processes together used so far, and hold now. */
  readonly processes: { readonly cpuSeconds: number; readonly rssBytes: number }
  /** All it stores is here. */
  readonly dataDirectory: string
  produce(load: Load): Promise<LoadFigures>
  /** Reads `load.messages` of what `produce` left in the queue, from its start. Rejects when they are not there. */
  consume(load: Load): Promise<LoadFigures>
  /** Clean, by process id; resolves when nothing of it runs. */
  stop(): Promise<void>
}

export interface Rival {
  readonly name: string
  /** The load tool with its version, as reports name it. */
  readonly driver: string
  /** How it reads, where that is not a plain subscription. */
  readonly consuming: string
  /**
   * Null when the driver is the system's own load tool or faster than the broker by construction; else why its rows
   * are marked as bound by the client.
   */
  readonly clientBound: string | null
  readonly cases: readonly RivalCase[]
  /** Finds or fetches what it needs. @returns its version. Rejects with a MissingRival that names what is missing. */
  prepare(): Promise<string>
  /** Starts it in `directory`, on free ports of 127.0.0.1. Resolves when it serves. */
  start(rivalCase: RivalCase, directory: string): Promise<RunningRival>
}

/** It cannot be measured on this machine: the row says what is missing, and no figure. */
export class MissingRival extends Error {}
