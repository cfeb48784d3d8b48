/**
 * A scripted life of a log, ended at every single operation of its disk: the process is killed or the power goes, the
 * log is recovered, and what it then holds is compared with what was promised (RELIABILITY P1, P3, P5, P6, P9; rows
 * A1-A8, A20, A22 of the fault matrix).
 */
import { describe, expect, test } from 'vitest'
import type { FlushPolicy } from '../../src/contracts/log-config.ts'
import { CrashError, seeded } from '../support/fault-disk.ts'
import { crashOnce, Life } from './life.ts'

describe.each<FlushPolicy>(['group-commit', 'os'])('under %s', policy => {
  test('killed at any operation: nothing that was answered is lost', () => {
    let crashAt = 1
    while (crashOnce(policy, crashAt, null)) crashAt++
    expect(crashAt).toBeGreaterThan(60)
  })

  test('power cut at any operation: nothing that was readable is lost, changed or doubled', () => {
    for (const seed of [1, 2, 3]) {
      let crashAt = 1
      while (crashOnce(policy, crashAt, seeded(seed * 1_000 + crashAt))) crashAt++
      expect(crashAt).toBeGreaterThan(60)
    }
  })
})

test('recovery that crashes is recovered, up to five times', () => {
  for (let seed = 1; seed <= 150; seed++) {
    const random = seeded(seed)
    const life = new Life('group-commit')
    life.run(20 + Math.floor(random() * 130))
    const { readable } = life
    for (let nested = 0; nested < 5; nested++) {
      life.kit.disk.powerCut(random)
      life.kit.disk.crashAt = life.kit.disk.operations + 1 + Math.floor(random() * 40)
      try {
        life.kit.open({ recover: true })
      } catch (error) {
        if (!(error instanceof CrashError)) throw error
      }
    }
    life.kit.disk.powerCut(random)
    life.open(true)
    life.checkRecovered(readable)
  }
})

test('a failed sync: offline, and what recovery then serves survives a power cut', () => {
  let failing = 1
  for (; ; failing++) {
    const life = new Life('group-commit')
    let syncs = 0
    life.kit.disk.onOperation = ({ kind }) =>
      kind === 'sync' && ++syncs === failing ? { code: 'EIO' } : null
    life.youth()
    if (syncs < failing) break
    expect(life.kit.failures.length, `sync ${failing}`).toBe(1)
    expect(life.kit.log.state).toBe('offline')
    const { readable } = life
    // The disk lies from here on: the page cache has the bytes, syncs succeed, the platter has them not.
    life.kit.disk.kill()
    life.open(true)
    life.checkRecovered(life.written)
    const end = life.kit.log.offsets.logEnd
    expect(end).toBeGreaterThanOrEqual(readable)
    life.kit.disk.powerCut(seeded(failing))
    life.open(true)
    life.checkRecovered(end)
  }
  expect(failing).toBeGreaterThan(5)
})
