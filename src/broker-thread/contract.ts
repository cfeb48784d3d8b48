/** What the program that asked for a broker on a thread of its own and that thread say to each other, over comlink. */
import type { BrokerOptions, RunningBroker } from '../broker.ts'
import type { Progress } from '../partitions/recovery-scans.ts'

/** Plain values only: they cross threads. */
export type ThreadOptions = Omit<BrokerOptions, 'thread' | 'onProgress'>

export type BrokerFacts = Pick<
  RunningBroker,
  'bootstrap' | 'httpUrl' | 'dataDirectory' | 'workers' | 'startedInMs'
>

export interface BrokerThread {
  start(
    options: ThreadOptions,
    onProgress: ((progress: Progress) => void) | null,
  ): Promise<BrokerFacts>
  close(): Promise<void>
}
