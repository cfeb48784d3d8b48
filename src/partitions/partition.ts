/**
 * One partition as the dispatcher sees it: where its offsets stand in the offset table and which owner thread holds
 * its log. Mutable on purpose: moves and restarts change owner and generation in place. Dispatcher thread.
 */
export interface Partition {
  readonly topic: string
  readonly index: number
  /** Row in the offset table; fixed for the life of the partition in this process. */
  readonly slot: number
  /** Raised at every (re)open; commands and table rows of older ones are refused. */
  generation: number
  /** Index of the owner thread. */
  ownerIndex: number
  /** `opening` and `offline` answer NOT_LEADER_OR_FOLLOWER or KAFKA_STORAGE_ERROR; only `online` takes commands. */
  state: 'opening' | 'online' | 'offline' | 'closed'
}

/**
 * Opens, closes and deletes logs on owner threads: what the admin service needs of the thread side (partition-host.ts).
 */
/** A topic and how many partitions it has. */
export interface TopicPlaces {
  readonly name: string
  readonly id: string
  readonly partitions: number
}

export interface PartitionHost {
  /** Before the first `open`, with all partitions there are: what owners' journals prove goes into their logs. */
  replayJournals(topics: readonly TopicPlaces[]): Promise<void>
  /** Assigns slots and owners to partitions `from`..`to`-1 of a topic and opens their logs. Rejects with a
   *  KafkaError when the slot limit is reached; a log that cannot open leaves its partition `offline`. */
  open(
    topic: { readonly name: string; readonly id: string; readonly config: TopicLogSettings },
    from: number,
    to: number,
  ): Promise<Partition[]>
  delete(partitions: readonly Partition[]): Promise<void>
  applyConfig(partitions: readonly Partition[], config: TopicLogSettings): Promise<void>
  /** Moves the log start up to `beforeOffset`, -1 for the high watermark; resolves when that is durable. */
  deleteRecords(partition: Partition, beforeOffset: number): Promise<DeletedRecords>
}

export type DeletedRecords = import('../contracts/control.ts').DeletedRecords
export type TopicLogSettings = import('../contracts/log-config.ts').LogConfig
