/** Where the simulated partitions lie. */

export interface Place {
  readonly topic: string
  readonly partition: number
  readonly slot: number
}

export const dataDirectory = '/data'
export const topicId = 'abcdefghijklmnopqrstuw'

export function directoryOf({ topic, partition }: Place): string {
  return `${dataDirectory}/${topic}-${partition}`
}
