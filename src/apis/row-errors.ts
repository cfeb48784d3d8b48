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

/** Names that occur more than once. */
export function duplicates(names: Iterable<string>): Set<string> {
  const seen = new Set<string>()
  const twice = new Set<string>()
  for (const name of names) {
    if (seen.has(name)) twice.add(name)
    seen.add(name)
  }
  return twice
}
