/**
 * Fifty scripted lives, each ended at every single operation of its disk, by a kill and by power cuts (rows A1 to A8
 * and A20, A22 of RELIABILITY's fault matrix). See Life.play for the words.
 */
import { describe, expect, test } from 'vitest'
import type { FlushPolicy, LogConfig } from '../../src/contracts/log-config.ts'
import { seeded } from '../support/fault-disk.ts'
import { crashOnce } from './life.ts'

/** What happens, and how large segments are. */
const scripts: [script: string, segmentBytesMax: number][] = [
  ['a1 s9', 900],
  ['a1 a2 s1 a3 s9', 900],
  ['a111 s1 a222 s2 a333 s9', 300],
  ['a12 a34 a5 s9 t a1 s9 a2', 900],
  ['a1 s9 k a2 s9 k a3', 900],
  ['a2 s9 t a2 s9 k a33 k a1 s9', 300],
  ['a1 s9 o a2 o a3 s9', 900],
  ['a22 s1 o a2 s9 k a1', 300],
  ['a1 s9 a2 f a3 s9', 900],
  ['a222 f a2 f a2 s9', 300],
  ['a1 s9 c a2 s9 c a3', 900],
  ['a11 s9 n a2 s9', 900],
  ['a22 n a22 s1 n a1 s9', 300],
  ['a22 s9 i k a2 s9', 900],
  ['a2 s9 t a222 s3 i o a1 s9 k', 300],
  ['a2 f a1 s9 k a1 o a2 s9', 900],
  ['a4 s9 t a4 s9 c a2 k a2 f a1', 300],
]

const policies: [FlushPolicy, Partial<LogConfig>][] = [
  ['group-commit', {}],
  ['interval', { flushMessages: 4 }],
  ['os', {}],
]

const operationsMin = 7

describe.each(policies)('under %s', (policy, more) => {
  test.each(scripts)('%s (segments of %i bytes)', (script, segmentBytesMax) => {
    const config = { ...more, segmentBytesMax }
    let crashAt = 1
    while (crashOnce(policy, crashAt, null, script, config)) crashAt++
    expect(crashAt).toBeGreaterThan(operationsMin)
    for (const seed of [1, 2]) {
      const cut = (at: number): (() => number) => seeded(seed * 1_000 + at)
      crashAt = 1
      while (crashOnce(policy, crashAt, cut(crashAt), script, config)) crashAt++
    }
  })
})

test('there are fifty', () => {
  expect(scripts.length * policies.length).toBeGreaterThanOrEqual(50)
})
