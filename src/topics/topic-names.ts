/** The rule for topic names (Kafka's Topic.java) and what names turn into on disk. No state. */

const TOPIC_NAME_LENGTH_MAX = 249
/** Keeps consumer groups and their committed offsets. */
export const CONSUMER_OFFSETS = '__consumer_offsets'
const INTERNAL_TOPICS: ReadonlySet<string> = new Set([CONSUMER_OFFSETS, '__transaction_state'])

/** Why a name is no topic name, as a message; null when it is one. */
export function topicNameError(name: string): string | null {
  if (name === '') return 'Topic name is empty: use 1 to 249 characters of a-z A-Z 0-9 . _ -'
  if (name === '.' || name === '..') return `Topic name cannot be "${name}"`
  if (name.length > TOPIC_NAME_LENGTH_MAX)
    return `Topic name has ${name.length} characters, the most is ${TOPIC_NAME_LENGTH_MAX}`
  if (!/^[a-zA-Z0-9._-]+$/.test(name))
    return `Topic name ${JSON.stringify(name)} has a character other than a-z A-Z 0-9 . _ -`
  return null
}

/** Names that differ only in `.` and `_` collide in Kafka's metric names; both become this. */
export const collisionKey = (name: string): string => name.replaceAll('.', '_')

export const isInternalTopic = (name: string): boolean => INTERNAL_TOPICS.has(name)

/** Kafka's directory of a partition inside the data directory: `<topic>-<partition>`. */
export const partitionDirectoryName = (topic: string, index: number): string => `${topic}-${index}`
