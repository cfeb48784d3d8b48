/**
 * Topic metadata as it is kept: behind one interface, so that ZooKeeper can take the place of files later. Written by
 * the admin service only; a topic is in the store before its directories exist. Dispatcher thread.
 */
import { join } from 'node:path'
import { topicNameError } from './topic-names.ts'
import { MetadataCorruptError, TwoGenerationFile } from './two-generation-file.ts'

export interface TopicRecord {
  readonly name: string
  readonly id: string
  readonly partitions: number
  readonly configs: readonly (readonly [name: string, text: string])[]
  /** `deleting`: gone for clients, its directories may still exist; the next start removes them. */
  readonly state: 'live' | 'deleting'
}

export interface TopicStore {
  /** All topics, in order of creation. Rejects when metadata exists and cannot be read. */
  load(): Promise<TopicRecord[]>
  /** Replaces everything; durable when resolved. Calls must not overlap. */
  save(records: readonly TopicRecord[]): Promise<void>
}

const FORMAT = 1

/** Two generations of one JSON document, `topics-a` and `topics-b`, in the data directory. */
export class FileTopicStore implements TopicStore {
  readonly #file: TwoGenerationFile
  readonly #path: string

  constructor(dataDirectory: string, onWarning?: (message: string) => void) {
    this.#path = join(dataDirectory, 'topics')
    this.#file = new TwoGenerationFile(this.#path, onWarning)
  }

  async load(): Promise<TopicRecord[]> {
    const content = await this.#file.load()
    if (content === null) return []
    const document = JSON.parse(content.toString('utf8')) as { format: number; topics: unknown }
    if (document.format !== FORMAT)
      throw new MetadataCorruptError(
        `${this.#path}-a is of format ${document.format}, this version reads ${FORMAT}: use the odradek that wrote it`,
      )
    if (!Array.isArray(document.topics) || !document.topics.every(isTopicRecord))
      throw new MetadataCorruptError(`${this.#path}-a does not hold topics, nothing was changed`)
    return document.topics
  }

  async save(records: readonly TopicRecord[]): Promise<void> {
    await this.#file.save(Buffer.from(JSON.stringify({ format: FORMAT, topics: records })))
  }
}

// The CRC has vouched for the bytes; this guards against a document some other program wrote.
function isTopicRecord(value: unknown): value is TopicRecord {
  const { name, id, partitions, configs, state } = value as TopicRecord
  return (
    typeof name === 'string' &&
    topicNameError(name) === null &&
    /^[A-Za-z0-9_-]{22}$/.test(id) &&
    Number.isInteger(partitions) &&
    partitions > 0 &&
    Array.isArray(configs) &&
    (state === 'live' || state === 'deleting')
  )
}
