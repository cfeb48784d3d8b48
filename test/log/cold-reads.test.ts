/** Reads that wait for their bytes, on real files: put aside, served later, whatever happens to the log meanwhile. */
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import type { Disk } from '../../src/contracts/disk.ts'
import { type Command, emptyCommand, Op } from '../../src/ring/commands.ts'
import { ColdReads } from '../../workers/cold-reads.ts'
import { realDisk } from '../../workers/disk.ts'
import type { Link } from '../../workers/links.ts'
import { PartitionLog } from '../../workers/log/log.ts'
import { newAppendResult } from '../../workers/log/results.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { baseConfig, makeBatch, topicId } from './log-kit.ts'

/** Ten batches of one record, a segment each. */
async function openLog(disk: Disk = realDisk): Promise<PartitionLog> {
  const log = openAt(`${await tempDirectory()}/t-0`, disk)
  for (let batch = 0; batch < 10; batch++) {
    const result = newAppendResult()
    log.stage(makeBatch({ timestampMs: 1000 + batch }), 9, result)
    expect(result.error).toBe(0)
    expect(log.commit()).toBe(0)
  }
  expect(log.segments.length).toBe(10)
  return log
}

function openAt(directory: string, disk: Disk): PartitionLog {
  return PartitionLog.open({
    spec: {
      topic: 't',
      topicId,
      partition: 0,
      slot: 0,
      generation: 1,
      directory,
      config: { ...baseConfig, segmentBytesMax: 100, flushPolicy: 'os' },
      recover: false,
      verdict: null,
      recoveryPoint: 0,
      copyForward: false,
      flushedOffset: -1,
    },
    env: { disk, clock: systemClock },
    onAdvance: () => {},
    onFailure: (_, error) => {
      throw error
    },
  })
}

function readFrom(offset: number): Command {
  return { ...emptyCommand(), op: Op.read, offset, maxBytes: 1000 }
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

/** The log as another process left it, and what of its index files is touched and opened. */
async function reopened(): Promise<{ log: PartitionLog; events: string[] }> {
  const events: string[] = []
  const note = (what: string, path: string): void => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (name.endsWith('index')) events.push(`${what} ${name.replace(/^0+(?=\d)/, '')}`)
  }
  const disk: Disk = {
    ...realDisk,
    open: (path, mode) => {
      note('open', path)
      return realDisk.open(path, mode)
    },
    startTouchFile: (path, bytes, done) => {
      note('touch', path)
      realDisk.startTouchFile(path, bytes, done)
    },
  }
  const written = await openLog()
  await written.settled()
  expect(written.close({ clean: true })).toBe(true)
  const log = openAt(written.directory, disk)
  events.length = 0
  return { log, events }
}

describe('cold indexes', () => {
  test('a read in a segment that nobody has looked into waits for its indexes, also in a warm log', async () => {
    const { log, events } = await reopened()
    const { reads, served } = collect(2)
    reads.putAside(link, log, readFrom(3))
    expect(reads.putAside(link, log, readFrom(4))).toBe(true)
    await served
    expect(events).toContain('touch 3.index')
    expect(events).toContain('touch 4.index')
    log.close({ clean: false })
  })

  test('a search by time brings the indexes it needs into memory, one segment after another', async () => {
    const { log, events } = await reopened()
    const { reads, served } = collect(1)
    const command = { ...emptyCommand(), op: Op.findTime, offset: 1004 }
    expect(reads.putAside(link, log, command)).toBe(true)
    await served
    const touched = events.filter(event => event.startsWith('touch')).map(event => event.slice(6))
    const bases = [0, 1, 2, 3, 4]
    expect(touched).toEqual(bases.flatMap(base => [`${base}.index`, `${base}.timeindex`]))
    for (const name of touched) {
      const openedAt = events.indexOf(`open ${name}`)
      expect(openedAt, name).toBeGreaterThan(events.indexOf(`touch ${name}`))
    }
    expect(log.findByTime(1004)).toMatchObject({ baseOffset: 4 })
    log.close({ clean: false })
  })

  test('of a log that is closed meanwhile no file is opened any more', async () => {
    const { log, events } = await reopened()
    let isOpen = true
    const served = new Promise<Command>(resolve => {
      const reads = new ColdReads(
        (_, command) => resolve(command),
        () => 0,
        () => isOpen,
      )
      reads.putAside(link, log, { ...emptyCommand(), op: Op.findTime, offset: 1004 })
    })
    isOpen = false
    log.close({ clean: false })
    await served
    expect(events).toEqual(['touch 0.index', 'touch 0.timeindex'])
  })
})
