/**
 * How the broker is doing, as people look at it: topics, rates, which owner thread ("worker") holds which partition and
 * how busy it is. Types only; status-sampler.ts fills them, HTTP and through it the command line show them.
 */

/** Per second, over the time between two looks. */
export interface Rates {
  readonly recordsIn: number
  /** Bytes of record batches, as stored. */
  readonly bytesIn: number
  /** Read to be sent: to consumers, and once for all readers of a tail. */
  readonly recordsOut: number
  readonly bytesOut: number
}

export interface PartitionStatus {
  readonly index: number
  /** Index of the owner thread. */
  readonly worker: number
  readonly state: 'online' | 'opening' | 'offline' | 'read-only'
  /** Why it takes no records; null when it does. */
  readonly reason: string | null
  /** Null while the log is not open. */
  readonly logStart: number | null
  /** Of what consumers may read. */
  readonly logEnd: number | null
  /** Of its segments; null when its owner did not say. */
  readonly sizeBytes: number | null
  /** Null when nobody looked within the last seconds. */
  readonly rates: Rates | null
}

export interface TopicStatus {
  readonly name: string
  readonly id: string
  readonly isInternal: boolean
  /** Offsets between start and end of all its logs: as many records, or fewer once some were compacted away. */
  readonly records: number
  readonly sizeBytes: number | null
  readonly rates: Rates | null
  readonly partitions: readonly PartitionStatus[]
}

export interface WorkerStatus {
  readonly index: number
  readonly isUp: boolean
  readonly partitions: number
  /** Part of the time that its event loop was not idle, 0 to 1; null when it is not known. */
  readonly load: number | null
  readonly rates: Rates | null
  readonly flushesPerSecond: number | null
  /** Mean duration of the flushes (fdatasync) in that time; null when there was none. */
  readonly flushMeanMs: number | null
}

export interface GroupStatus {
  readonly groupId: string
  readonly state: string
  readonly members: number
  /** Records over all partitions; null when it is not known. */
  readonly lag: number | null
}

export interface Status {
  readonly wallMs: number
  readonly uptimeMs: number
  /** Time that the rates are taken over; null: nobody looked within the last seconds, so there are none yet. */
  readonly ratesOverMs: number | null
  readonly rates: Rates | null
  readonly kafkaRequestsPerSecond: number | null
  readonly httpRequestsPerSecond: number | null
  readonly kafkaConnections: number
  /** Appended and not flushed yet. */
  readonly unflushedRecords: number
  /** Null when the file system does not say. */
  readonly diskFreeBytes: number | null
  readonly diskTotalBytes: number | null
  /** As for a worker. */
  readonly dispatcherLoad: number | null
  readonly workerRestarts: number
  readonly workers: readonly WorkerStatus[]
  readonly topics: readonly TopicStatus[]
  readonly groupCount: number
  /** The first thousand by name. */
  readonly groups: readonly GroupStatus[]
}
