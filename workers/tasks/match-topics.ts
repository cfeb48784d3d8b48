/**
 * Task: topics by a regular expression that a client sent. Some expressions take for ever on some names, so it runs
 * under a timer that stops it, and here, where nobody else waits meanwhile. Pool thread.
 */
import { createContext, Script } from 'node:vm'
import type { MatchedTopics, MatchTopicsInput } from '../../src/contracts/match-topics.ts'

/** No topic name holds a slash. Only texts go in and come out. */
const script = new Script(
  '(names => names.split("/").filter(name => whole.test(name)).join("/"))' +
    '((new RegExp(source), whole = new RegExp("^(?:" + source + ")$"), names))',
)

export default function matchTopics({ source, names, timeoutMs }: MatchTopicsInput): MatchedTopics {
  const globals = Object.assign(Object.create(null) as object, {
    source,
    names: names.join('/'),
    whole: null,
  })
  try {
    const found = script.runInContext(createContext(globals), { timeout: timeoutMs }) as string
    return { names: found === '' ? [] : found.split('/') }
  } catch (error) {
    return { message: (error as Error).message.replace(/\s+/g, ' ') }
  }
}
