/** Input and result of the task that looks for the topics whose names match a regular expression. Types only. */

export interface MatchTopicsInput {
  /** From a client: must match a whole name. */
  readonly source: string
  readonly names: readonly string[]
  readonly timeoutMs: number
}

/** The names that match, or what is wrong with the expression. */
export type MatchedTopics = { readonly names: readonly string[] } | { readonly message: string }
