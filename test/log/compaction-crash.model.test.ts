/**
 * A log is compacted twice and the process or the power ends at every single operation of its disk, in the task, in
 * the swaps and in the recovery after it (rows A20 and A21 of the fault matrix). Whatever is left: every key reads as
 * its last value, every record is one that was written, and the next pass gets to the end.
 */
import { expect, test } from 'vitest'
import { encodeBatch } from '../../src/protocol/encode-batch.ts'
import { Errors } from '../../src/protocol/errors.ts'
import { CrashError, FaultDisk, seeded } from '../support/fault-disk.ts'
import { CompactedLog } from './compacted-log.ts'
import { type PlainRecord, plainRecords, updates } from './compaction-kit.ts'

const deleteRetentionMs = 60_000
const producerId = 42

class Life {
  readonly kit: CompactedLog
  /** All that was ever written, by offset. */
  readonly written: PlainRecord[] = []
  sequence = 0

  constructor() {
    const config = { segmentBytesMax: 420, deleteRetentionMs }
    this.kit = new CompactedLog(config, new FaultDisk()).open()
  }

  put(pairs: string): void {
    const records = updates(...pairs.split(' '))
    const baseSequence = this.sequence
    const batch = encodeBatch({
      records,
      timestampMs: 1_000,
      producerId,
      producerEpoch: 0,
      baseSequence,
    })
    const [{ baseOffset }] = this.kit.append(batch)
    this.sequence += records.length
    for (const record of plainRecords(encodeBatch({ records, timestampMs: 1_000 }))) {
      this.written.push({ ...record, offset: baseOffset + record.offset })
    }
  }

  /** Up to where the first pass may crash. */
  childhood(): void {
    for (let round = 0; round < 14; round++)
      this.put(`a=${round} b${round % 3}=${round} gone=${round}`)
    this.put('gone d=1')
    for (let round = 0; round < 4; round++) this.put(`a=${20 + round} e${round}=1`)
    this.kit.idle()
  }

  /** Up to where the second one may. */
  async youth(): Promise<void> {
    this.childhood()
    await this.kit.compact()
    expect(this.kit.passes).toHaveLength(1)
    this.kit.clock.advance(deleteRetentionMs)
    for (let round = 0; round < 12; round++) this.put(`a=${30 + round} b${round % 3}=${30 + round}`)
    this.kit.idle()
  }

  async crashAt(operation: number): Promise<boolean> {
    const { disk } = this.kit
    disk.crashAt = disk.operations + operation
    try {
      await this.kit.compact()
    } catch (error) {
      if (!(error instanceof CrashError)) throw error
    }
    return disk.crashed
  }

  /** Last value per key, or none where the last one is a tombstone that may be gone. */
  check(): PlainRecord[] {
    const found = this.kit.consume()
    let last = -1
    for (const record of found) {
      expect(record.offset).toBeGreaterThan(last)
      last = record.offset
      expect(record).toEqual(this.written[record.offset])
    }
    const newest = new Map(this.written.map(record => [record.key, record]))
    const seen = new Map(found.map(record => [record.key, record]))
    for (const [key, record] of newest) {
      if (record.value !== null) expect(seen.get(key)).toEqual(record)
      else expect(seen.get(key)?.value ?? null).toBeNull()
    }
    expect(this.kit.log.offsets.logEnd).toBe(this.written.length)
    expect(this.kit.log.offsets.highWatermark).toBe(this.written.length)
    return found
  }

  /** The last five batches come again. */
  resend(): void {
    const sizes = [2, 2, 2, 2, 2]
    let sequence = this.sequence - 10
    for (const size of sizes) {
      const pair = { key: Buffer.from('x'), value: null }
      const records = Array.from({ length: size }, () => pair)
      const batch = encodeBatch({ records, producerId, producerEpoch: 0, baseSequence: sequence })
      const result = this.kit.stage(batch)
      expect(result).toMatchObject({ error: Errors.NONE, duplicate: true, baseOffset: sequence })
      sequence += size
    }
  }
}

/** False when the pass ended before the crash. */
async function crashOnce(operation: number, cut: (() => number) | null): Promise<boolean> {
  const life = new Life()
  await life.youth()
  const hasCrashed = await life.crashAt(operation)
  const { kit } = life
  for (let nested = 0; nested < 3; nested++) {
    if (cut === null) kit.disk.kill()
    else kit.disk.powerCut(cut)
    if (nested === 2) break
    // Opening is cut short as well.
    kit.disk.crashAt = kit.disk.operations + 1 + ((operation * 7 + nested * 13) % 40)
    try {
      kit.open({ recover: true })
    } catch (error) {
      if (!(error instanceof CrashError)) throw error
    }
  }
  kit.troubles.length = 0
  kit.failures.length = 0
  kit.open({ recover: true })
  life.check()
  life.resend()
  expect(kit.leftovers()).toEqual([])
  expect(kit.failures).toEqual([])
  kit.idle()
  await kit.compact()
  expect(kit.troubles).toEqual([])
  const active = kit.log.active.baseOffset
  const sealed = life.check().filter(({ offset }) => offset < active)
  expect(new Set(sealed.map(({ key }) => key)).size).toBe(sealed.length)
  expect(sealed.every(({ value }) => value !== null)).toBe(true)
  // What was served after all that stays, too.
  const before = kit.consume()
  if (cut !== null) kit.disk.powerCut(cut)
  else kit.disk.kill()
  kit.open({ recover: true })
  expect(life.check()).toEqual(before)
  return hasCrashed
}

test('killed at any operation', async () => {
  let operation = 1
  while (await crashOnce(operation, null)) operation++
  expect(operation).toBeGreaterThan(60)
})

test('power cut at any operation', async () => {
  for (const seed of [1, 2, 3]) {
    let operation = 1
    while (await crashOnce(operation, seeded(seed * 1_000 + operation))) operation++
    expect(operation).toBeGreaterThan(60)
  }
})

test('two passes that crash, with time for tombstones to go in between', async () => {
  let forgotten = 0
  const undisturbed = new Life()
  undisturbed.childhood()
  const { disk } = undisturbed.kit
  const before = disk.operations
  await undisturbed.kit.compact()
  // Every other pass or so comes to its end.
  const span = (disk.operations - before) * 1.5
  for (let seed = 1; seed <= 300; seed++) {
    const random = seeded(seed)
    const life = new Life()
    const { kit } = life
    life.childhood()
    for (let pass = 0; pass < 2; pass++) {
      await life.crashAt(1 + Math.floor(random() * span))
      if (seed % 2 === 0) kit.disk.kill()
      else kit.disk.powerCut(random)
      kit.open({ recover: true })
      life.check()
      kit.clock.advance(deleteRetentionMs + 6_000)
      kit.settle()
    }
    await kit.compact()
    if (!life.check().some(({ key }) => key === 'gone')) forgotten++
  }
  expect(forgotten).toBeGreaterThan(30)
})
