/** How a failed admin operation becomes the error of one row of a response. Pure. */
import { Errors, KafkaError } from '../protocol/errors.ts'

export interface RowError {
  readonly errorCode: number
  readonly errorMessage: string
}

/** A KafkaError's code and message; anything else is a defect of ours and is thrown on. */
export function rowError(error: unknown): RowError {
  if (error instanceof KafkaError) return { errorCode: error.code, errorMessage: error.message }
  throw error
}

export const invalidRequest = (errorMessage: string): RowError => ({
  errorCode: Errors.INVALID_REQUEST,
  errorMessage,
})

/** What a client sent is echoed cut off and quoted: it may be anything. */
export const shown = (text: string): string => JSON.stringify(text.slice(0, 249))

/** Names, or numbers, that occur more than once. */
export function duplicates<T extends string | number>(items: Iterable<T>): Set<T> {
  const seen = new Set<T>()
  const twice = new Set<T>()
  for (const item of items) {
    if (seen.has(item)) twice.add(item)
    seen.add(item)
  }
  return twice
}
