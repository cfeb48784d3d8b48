/** What `odradek log verify` finds in one log directory that is damaged in unkind ways. */
import { expect, test } from 'vitest'
import type { VerifyInput, VerifyReport } from '../../src/contracts/verify.ts'
import { verifyLog } from '../../workers/log/verify-log.ts'
import { directory, type LogHarness } from './log-kit.ts'
import { filled } from './retention-kit.ts'

function closed(batches: number): LogHarness {
  const kit = filled({}, batches)
  expect(kit.closeClean()).toBe(true)
  return kit
}

function verified({ disk }: LogHarness, more: Partial<VerifyInput> = {}): VerifyReport {
  const rest = { isClean: true, isForeign: false, recoveryPoint: 0, areRecordsRead: false }
  return verifyLog(disk, { directory, ...rest, ...more })
}

function damaged({ findings }: VerifyReport): string[] {
  return findings.filter(({ kind }) => kind === 'damage').map(({ file }) => file)
}

test('any number of notes leaves room for damage', () => {
  const kit = closed(201)
  for (const name of kit.names()) {
    if (name.endsWith('index')) kit.disk.unlink(`${directory}/${name}`)
  }
  const bytes = kit.disk.bytesOf(kit.path(198, 'log'))
  bytes[80] ^= 1
  kit.disk.setBytes(kit.path(198, 'log'), bytes)
  const report = verified(kit)
  expect(report.findings.length).toBeLessThan(210)
  expect(damaged(report)).toEqual([`${'198'.padStart(20, '0')}.log`])
})

test('a segment that cannot be read is damage, the others are looked at all the same', () => {
  const kit = closed(9)
  kit.disk.onOperation = ({ kind, path }) =>
    kind === 'read' && path === kit.path(2, 'log') ? { code: 'EIO' } : null
  const report = verified(kit)
  expect(damaged(report)).toEqual([`${'2'.padStart(20, '0')}.log`])
  expect(report.batches).toBe(7)
  expect(report.endOffset).toBe(9)
})

test('after an unclean stop what the checkpoint proves is no torn end', () => {
  const kit = filled({ segmentBytesMax: 10_000 }, 4)
  const bytes = kit.disk.bytesOf(kit.path(0, 'log'))
  bytes[bytes.length - 1] ^= 1
  kit.disk.setBytes(kit.path(0, 'log'), bytes)
  expect(damaged(verified(kit, { isClean: false }))).toEqual([])
  const last = { isClean: false, recoveryPoint: 4 }
  expect(damaged(verified(kit, last))).toEqual([`${'0'.padStart(20, '0')}.log`, '.'])
})
