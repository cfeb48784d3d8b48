/** Reads that wait for their bytes, on real files: put aside, served later, whatever happens to the log meanwhile. */
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { type Command, emptyCommand } from '../../src/ring/commands.ts'
import { ColdReads } from '../../workers/cold-reads.ts'
import { realDisk } from '../../workers/disk.ts'
import type { Link } from '../../workers/links.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import { newAppendResult } from '../../workers/log/results.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { baseConfig, makeBatch, topicId } from './log-kit.ts'

/** Ten batches of one record, a segment each. */
async function openLog(): Promise<PartitionLog> {
  const log = PartitionLog.open({
    spec: {
      topic: 't',
      topicId,
      partition: 0,
      slot: 0,
      generation: 1,
      directory: `${await tempDirectory()}/t-0`,
      config: { ...baseConfig, segmentBytesMax: 100, flushPolicy: 'os' },
      recover: false,
      verdict: null,
      recoveryPoint: 0,
      copyForward: false,
      flushedOffset: -1,
    },
    env: { disk: realDisk, clock: systemClock },
    onAdvance: () => {},
    onFailure: (_, error) => {
      throw error
    },
  })
  for (let batch = 0; batch < 10; batch++) {
    const result = newAppendResult()
    log.stage(makeBatch(), 9, result)
    expect(result.error).toBe(0)
    expect(log.commit()).toBe(0)
  }
  expect(log.segments.length).toBe(10)
  return log
}

function readFrom(offset: number): Command {
  return { ...emptyCommand(), offset, maxBytes: 1000 }
}

const link = {} as Link

/** Resolves with the commands that were served, when there are `count` of them. */
function collect(count: number): { reads: ColdReads; served: Promise<Command[]> } {
  const commands: Command[] = []
  let reads: ColdReads
  const served = new Promise<Command[]>(resolve => {
    reads = new ColdReads((_, command) => {
      if (commands.push(command) === count) resolve(commands)
    })
  })
  return { reads: reads!, served }
}

describe('cold reads', () => {
  test('the first read far behind the end waits, those behind it do not while they are quick', async () => {
    const log = await openLog()
    const { reads, served } = collect(1)
    const command = readFrom(3)
    expect(reads.putAside(link, log, command)).toBe(true)
    // The caller uses its object again at once.
    command.offset = 77
    expect((await served)[0]!.offset).toBe(3)
    // A touch on a busy machine may have looked slow.
    const warm = new ColdReads(() => {})
    warm.putAside(link, log, readFrom(3))
    expect(warm.putAside(link, log, readFrom(4))).toBe(false)
    log.close({ clean: false })
  })

  test('a slow read makes the next ones wait', async () => {
    const log = await openLog()
    const { reads, served } = collect(2)
    reads.putAside(link, log, readFrom(3))
    reads.took(log, 50)
    expect(reads.putAside(link, log, readFrom(4))).toBe(true)
    expect((await served).map(({ offset }) => offset).sort((a, b) => a - b)).toEqual([3, 4])
    log.close({ clean: false })
  })

  test('a slow read of bytes that no disk was asked for does not, unless it was very slow', async () => {
    const log = await openLog()
    let fetched = 0
    const reads = new ColdReads(
      () => {},
      () => fetched,
    )
    reads.putAside(link, log, readFrom(3))
    reads.took(log, 5)
    expect(reads.putAside(link, log, readFrom(4))).toBe(false)
    // By the slow read or by one just before it: the system reads ahead.
    fetched = 8
    reads.took(log, 2)
    expect(reads.putAside(link, log, readFrom(4))).toBe(false)
    reads.took(log, 5)
    expect(reads.putAside(link, log, readFrom(4))).toBe(true)
    const others = new ColdReads(
      () => {},
      () => fetched,
    )
    others.putAside(link, log, readFrom(3))
    others.took(log, 50)
    expect(others.putAside(link, log, readFrom(4))).toBe(true)
    log.close({ clean: false })
  })

  test('what was just appended, and what is not there, never waits', async () => {
    const log = await openLog()
    const reads = new ColdReads(() => {})
    reads.took(log, 50)
    expect(reads.putAside(link, log, readFrom(9))).toBe(false)
    expect(reads.putAside(link, log, readFrom(10))).toBe(false)
    expect(reads.putAside(link, log, readFrom(11))).toBe(false)
    log.close({ clean: false })
  })

  test('more reads than may wait for the disk at once, of a log that is deleted meanwhile, all come back', async () => {
    const log = await openLog()
    const { reads, served } = collect(200)
    for (let read = 0; read < 200; read++) {
      reads.took(log, 50)
      expect(reads.putAside(link, log, readFrom(read % 9))).toBe(true)
    }
    await log.delete()
    expect((await served).length).toBe(200)
  })
})
