/** What nobody may do to the topics that the broker keeps for itself. Pure. */
import { Errors, KafkaError } from '../protocol/errors.ts'
import { isInternalTopic } from '../topics/topic-names.ts'

/**
 * Configs that decide whether the broker's own batches are taken, when they are durable, and how long they stay. With
 * others than it chose, nobody could commit any more, or what was committed would be deleted by age.
 */
const fixedConfigs = [
  'cleanup.policy',
  'flush.policy',
  'max.message.bytes',
  'message.timestamp.after.max.ms',
  'message.timestamp.before.max.ms',
  'segment.bytes',
]

type Configs = ReadonlyMap<string, string>

export function refuseInternal(name: string, what: string): void {
  if (!isInternalTopic(name)) return
  throw new KafkaError(
    Errors.INVALID_TOPIC_EXCEPTION,
    `Topic ${name} is the broker's own, it cannot be ${what}: name another one`,
  )
}

/** `after`: what its configs would be instead of `before`. */
export function refuseUnfitConfigs(name: string, before: Configs, after: Configs): void {
  if (!isInternalTopic(name)) return
  const changed = fixedConfigs.filter(key => before.get(key) !== after.get(key))
  if (changed.length === 0) return
  const texts = changed.map(key => `${key}=${before.get(key) ?? 'default'}`)
  throw new KafkaError(
    Errors.INVALID_CONFIG,
    `Topic ${name} is the broker's own: leave ${texts.join(', ')} among its configs`,
  )
}
