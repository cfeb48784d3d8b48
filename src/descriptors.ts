/**
 * How many connections the file descriptors of this process allow. Node hides their exhaustion: beyond the limit the
 * system's connections are accepted and closed without a word, so the broker counts for itself. Dispatcher thread.
 *
 *   ulimit -n = open at start (active segments and all) | cache of sealed segments | 64 spare | HTTP | connections
 */
import { readdirSync, readFileSync } from 'node:fs'

/** For segments that roll, checkpoints, directory syncs, pool threads. */
const spare = 64
/** With fewer left for clients it is not worth starting. */
const connectionsMin = 256
/** Sealed segments that one owner keeps open for readers, where the limit allows. */
const sealedFilesMax = 256
const httpConnectionsMax = 10_000

/** @returns the soft limit of open files; Infinity where the system does not tell. */
export function descriptorLimit(): number {
  try {
    const found = /^Max open files\s+(\d+|unlimited)/m.exec(
      readFileSync('/proc/self/limits', 'utf8'),
    )
    return found === null || found[1] === 'unlimited' ? Infinity : Number(found[1])
  } catch {
    return Infinity
  }
}

/** Sealed segments that each of so many owner threads may keep open. */
export function sealedFilesPerOwner(limit: number, owners: number): number {
  return Math.max(8, Math.min(sealedFilesMax, Math.floor(limit / 8 / owners)))
}

export interface DescriptorUse {
  readonly limit: number
  /** Open now, with every log open and no client connected. */
  readonly open: number
  readonly owners: number
  readonly partitions: number
}

export class DescriptorBudget {
  readonly httpConnections: number
  readonly #connections: number
  readonly #partitions: number

  /** @throws an Error that names the limit when fewer than 256 descriptors are left for clients */
  constructor(use: DescriptorUse) {
    const { limit, owners, partitions } = use
    const left = leftOf(use)
    if (left < connectionsMin) {
      let needed = limit
      while (leftOf({ ...use, limit: needed }) < connectionsMin) needed++
      throw new Error(
        `${limit} file descriptors are not enough: ${partitions} partitions and ${owners} owner threads ` +
          `leave ${Math.max(0, left)} for connections: raise the limit to ${needed} or more (ulimit -n ${needed})`,
      )
    }
    this.httpConnections = Math.min(httpConnectionsMax, Math.floor(left / 8))
    this.#connections = left - this.httpConnections
    this.#partitions = partitions
  }

  /** What is left for Kafka connections: every partition made since the start holds a segment open. */
  connectionsFor(partitions: number): number {
    return this.#connections - Math.max(0, partitions - this.#partitions)
  }
}

/** Negative when there are too few even without clients. */
function leftOf({ limit, open, owners }: DescriptorUse): number {
  return limit - open - owners * sealedFilesPerOwner(limit, owners) - spare
}

/** Descriptors open now; 0 where the system does not tell. */
export function openDescriptors(): number {
  try {
    return readdirSync('/proc/self/fd').length
  } catch {
    return 0
  }
}
