/** Files of a log, damaged at random: opening never hangs or crashes, and nothing wrong is served as right. */
import { expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { baseOffsetAt, batchBytesAt, isCrcValid } from '../../src/protocol/record-batch.ts'
import { newReadResult } from '../../workers/log/results.ts'
import { seeded } from '../support/fault-disk.ts'
import { directory, LogHarness, makeBatch } from './log-kit.ts'

function damage(bytes: Buffer, random: () => number): Buffer {
  const at = Math.floor(random() * (bytes.length + 1))
  const length = Math.floor(random() * 200)
  const kind = Math.floor(random() * 6)
  if (kind === 0) return bytes.subarray(0, at)
  if (kind === 1) return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)])
  if (kind === 2) return Buffer.concat([bytes.subarray(0, at), Buffer.alloc(length, 0x5a), bytes])
  if (kind === 3) return Buffer.concat([bytes, bytes.subarray(0, at)])
  const changed = Buffer.from(bytes)
  if (kind === 4) changed.subarray(at, at + length).fill(0)
  else if (changed.length > 0) changed[at % changed.length] ^= 1 << Math.floor(random() * 8)
  return changed
}

/** Every batch that can be fetched, by its base offset; errors are stepped over one offset at a time. */
function readWhatThereIs(kit: LogHarness): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  const region = Buffer.alloc(20_000)
  const result = newReadResult()
  const { logStart, highWatermark } = kit.log.offsets
  for (let offset = logStart; offset < highWatermark; ) {
    kit.log.read(offset, region.length, region, result)
    if (result.error !== Errors.NONE || result.length === 0) {
      expect([Errors.NONE, Errors.CORRUPT_MESSAGE]).toContain(result.error)
      offset++
      continue
    }
    expect(result.nextOffset).toBeGreaterThan(offset)
    for (let at = result.start; at < result.start + result.length; ) {
      const bytes = batchBytesAt(region, at)
      found.set(baseOffsetAt(region, at), Buffer.from(region.subarray(at, at + bytes)))
      at += bytes
    }
    offset = result.nextOffset
  }
  return found
}

/** What the checksum covers, and the checksum. */
const body = (batch: Buffer): Buffer => batch.subarray(16)

test('1,500 damaged directories', () => {
  let displaced = 0
  const outcomes = { whole: 0, partial: 0, refused: 0 }
  for (let run = 1; run <= 1_500; run++) {
    // The first ones found something once, in a hundred thousand.
    const seed = [27_223, 32_455, 33_724, 45_753][run - 1] ?? run
    const random = seeded(seed)
    const kit = new LogHarness({ segmentBytesMax: 1_500, indexIntervalBytes: 200 }).open()
    const model = new Map<number, Buffer>()
    for (let mark = 0; mark < 25; mark++) {
      if (mark === 12) kit.clock.advance(6_000)
      const batch = makeBatch({
        records: 1 + (mark % 3),
        valueBytes: 30,
        mark,
        producerId: 1,
        producerEpoch: 0,
        baseSequence: kit.log.offsets.logEnd,
      })
      model.set(kit.append(batch)[0].baseOffset, batch)
      kit.settle()
    }
    const clean = random() < 0.5
    if (clean) kit.closeClean()
    else kit.disk.kill()
    const names = kit.names()
    for (let count = 1 + Math.floor(random() * 3); count > 0; count--) {
      const path = `${directory}/${names[Math.floor(random() * names.length)]}`
      if (random() < 0.1 && kit.disk.exists(path)) kit.disk.unlink(path)
      else if (kit.disk.exists(path))
        kit.disk.setBytes(path, damage(kit.disk.bytesOf(path), random))
    }
    try {
      kit.open({ recover: !clean })
    } catch (error) {
      expect(error).toMatchObject({ code: 'EBADTOPIC' })
      outcomes.refused++
      continue
    }
    const found = readWhatThereIs(kit)
    for (const [baseOffset, bytes] of found) {
      // Rot in synced records keeps its place; whoever reads it sees that the checksum is wrong.
      if (!isCrcValid(bytes, 0, bytes.length)) continue
      const wanted = model.get(baseOffset)
      if (wanted !== undefined && body(bytes).equals(body(wanted))) continue
      // The base offset lies outside the checksum: bytes cut out between one batch's offset and another's length are
      // beyond what anybody can notice (fault matrix, A16). Never is anything served that was not sent.
      expect([...model.values()].some(batch => body(batch).equals(body(bytes)))).toBe(true)
      displaced++
    }
    if (found.size === model.size) outcomes.whole++
    else outcomes.partial++
    // It takes records again and gives them back, now and after a restart.
    const more = makeBatch({ mark: 99 })
    const [{ baseOffset }] = kit.append(more)
    kit.settle()
    expect(kit.read(baseOffset).bytes.equals(more), `seed ${seed}`).toBe(true)
    kit.disk.kill()
    kit.open({ recover: true })
    expect(kit.read(baseOffset).bytes.equals(more), `seed ${seed} again`).toBe(true)
  }
  expect(
    Object.values(outcomes).every(count => count > 30),
    JSON.stringify(outcomes),
  ).toBe(true)
  expect(displaced).toBeLessThan(15)
})
