/**
 * Topics by a regular expression, which must match the whole name. The looking is done by a task of the pool, one at a
 * time for all clients, because an expression may take long: nobody waits for it but who sent it. Dispatcher thread.
 */
import type { MatchedTopics, MatchTopicsInput } from '../../contracts/match-topics.ts'
import type { TaskPool } from '../../task-pool.ts'
import type { LogBackend } from '../backend/log-backend.ts'
import { echoed } from '../problem.ts'
import { RestCode, restProblem } from './rest-problem.ts'

const patternCharsMax = 256
/** Far more than any expression needs that does not go astray, also on a busy machine. */
const lookMsMax = 500
/** More wait than this: something is wrong, and not with them. */
const waitingMax = 32

/** Looks for all patterns, one after the other. */
export class PatternMatcher {
  readonly #tasks: Pick<TaskPool, 'run'>
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0

  constructor(tasks: Pick<TaskPool, 'run'>) {
    this.#tasks = tasks
  }

  /** @throws HttpProblem 40001 for what is no regular expression or takes too long, 42901 when too many wait */
  async match(source: string, names: readonly string[]): Promise<readonly string[]> {
    if (this.#waiting >= waitingMax) {
      throw restProblem(RestCode.tooManyInstances, 'too many topic patterns at once: try again')
    }
    this.#waiting++
    const input: MatchTopicsInput = { source, names, timeoutMs: lookMsMax }
    const matched = this.#last.then(() =>
      this.#tasks.run<MatchedTopics>('tasks/match-topics', input),
    )
    this.#last = matched.catch(() => undefined)
    const result = await matched.finally(() => {
      this.#waiting--
    })
    if ('names' in result) return result.names
    const what = `topic_pattern ${echoed(source)} is of no use: ${result.message}`
    throw restProblem(RestCode.badOption, what)
  }
}

export class TopicPattern {
  readonly source: string
  readonly #backend: LogBackend
  readonly #matcher: PatternMatcher
  #lookedAt = ''
  #matches: readonly string[] = []
  #isLooking = false

  private constructor(source: string, backend: LogBackend, matcher: PatternMatcher) {
    this.source = source
    this.#backend = backend
    this.#matcher = matcher
  }

  /** Resolves when the topics there are now have been looked through. @throws HttpProblem as `PatternMatcher.match` */
  static async open(
    source: string,
    backend: LogBackend,
    matcher: PatternMatcher,
  ): Promise<TopicPattern> {
    if (source.length > patternCharsMax) {
      const what = `topic_pattern is ${source.length} characters long`
      throw restProblem(RestCode.badOption, `${what}; at most ${patternCharsMax} are taken`)
    }
    const pattern = new TopicPattern(source, backend, matcher)
    await pattern.#look(pattern.#names())
    return pattern
  }

  /**
   * Names of the topics that match, as of the last look, the same array while they are the same; internal topics never
   * match. Where there are others by now, the next look begins.
   */
  get matches(): readonly string[] {
    const names = this.#names()
    if (!this.#isLooking && names.join('/') !== this.#lookedAt) {
      // Why an expression that was fine fails now is its sender's business; it keeps the topics it has.
      this.#look(names).catch(() => {})
    }
    return this.#matches
  }

  async #look(names: readonly string[]): Promise<void> {
    this.#isLooking = true
    this.#lookedAt = names.join('/')
    try {
      const found = await this.#matcher.match(this.source, names)
      if (found.join('/') !== this.#matches.join('/')) this.#matches = found
    } finally {
      this.#isLooking = false
    }
  }

  #names(): string[] {
    const seen = this.#backend.topics().filter(({ isInternal }) => !isInternal)
    return seen.map(({ name }) => name)
  }
}
