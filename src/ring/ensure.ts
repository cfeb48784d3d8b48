/**
 * node:assert for code that runs per request. assert(...) gathers its arguments into an array at every call that the
 * compiler does not inline, about 64 bytes for a check that holds; this one takes two and allocates nothing.
 */
import assert from 'node:assert'

/** Throws an AssertionError unless `condition` holds: our own mistake, never a client's. */
export function ensure(condition: boolean, message: string): asserts condition {
  if (!condition) assert.fail(message)
}
