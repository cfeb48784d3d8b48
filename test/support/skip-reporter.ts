/**
 * Says after the run which tests were skipped, why, and what brings the missing part: the note that
 * test/support/requires.ts gave to `context.skip`, else the title of the outermost `describe`, which then says it.
 * vitest's own reporters show only a number.
 */
import type { Reporter, TestCase, TestModule, Vitest } from 'vitest/node'

/** Why this test was skipped, as one line; null when it was not. */
function skipReason(test: TestCase): string | null {
  const result = test.result()
  if (result.state !== 'skipped') return null
  return result.note ?? test.fullName.split(' > ')[0] ?? ''
}

export default class SkipReporter implements Reporter {
  /** True when only tests with a certain name were asked for: the others are not skipped, they were not meant. */
  #isFiltered = false

  onInit(vitest: Vitest): void {
    this.#isFiltered = vitest.config.testNamePattern !== undefined
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (this.#isFiltered) return
    const counts = new Map<string, number>()
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const reason = skipReason(test)
        if (reason !== null) counts.set(reason, (counts.get(reason) ?? 0) + 1)
      }
    }
    for (const [reason, count] of counts) {
      process.stdout.write(` skipped ${count} test${count === 1 ? '' : 's'}: ${reason}\n`)
    }
  }
}
