/** Where the simulated partitions lie. */

export interface Place {
  readonly topic: string
  readonly partition: number
  readonly slot: number
}

export const dataDirectory = '/data'

export function topicIdOf(slot: number): string {
  return `abcdefghijklmnopqrstu${'AQgw'[slot]}`
}

export function directoryOf({ topic, partition }: Place): string {
  return `${dataDirectory}/${topic}-${partition}`
}
