/**
 * Tests run with two processes at most: brokers with several threads, and they share the machine.
 * VITEST_JSON=FILE also writes vitest's JSON report there (.ci/run counts from it).
 */
import { defineConfig } from 'vitest/config'

const json = process.env.VITEST_JSON
/** Left to `npm run test:long` (vitest.long.config.ts): together they take as long as all the others. */
export const longTests = [
  'test/bench/groups.test.ts',
  'test/cli/bench.test.ts',
  'test/clients/codecs.test.ts',
  'test/fuzz/*.test.ts',
  'test/kafka-tools/*.test.ts',
  'test/torture/scenarios.test.ts',
]

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['**/node_modules/**', ...longTests],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A bound for machines under load, not an expectation.
    expect: { poll: { timeout: 30_000 } },
    reporters: [
      'default',
      './test/support/skip-reporter.ts',
      ...(json ? [['json', { outputFile: json }] as ['json', { outputFile: string }]] : []),
    ],
  },
})
