/**
 * One partition log on its owner's thread: a round of stage calls and one commit, beside the bare fs.writeSync of the
 * same bytes. Flush policy `os`, so that no sync is in the figure; at most 256 MiB are written and removed a line.
 *
 *   npm run bench -- append [directory, default data/ in the project]
 */
import { closeSync, mkdirSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { Bench } from 'tinybench'
import { systemClock } from '../src/clock.ts'
import { loadConfig } from '../src/config/config.ts'
import type { PartitionSpec } from '../src/contracts/control.ts'
import { dropBallast, fillBallast } from '../src/load/page-ballast.ts'
import { Errors, errorName } from '../src/protocol/errors.ts'
import { encodeBatch } from '../src/protocol/record-batch.ts'
import { realDisk } from '../workers/disk.ts'
import { PartitionLog } from '../workers/log/log.ts'
import { newAppendResult } from '../workers/log/results.ts'

const apiVersion = 9
const recordBytes = 200
const bytesPerLine = 256 * 1024 * 1024
const parent = process.argv[2] ?? join(import.meta.dirname, '..', 'data')

const spec: Omit<PartitionSpec, 'directory'> = {
  topic: 'append',
  topicId: 'AAAAAAAAAAAAAAAAAAAAAQ',
  partition: 0,
  slot: 0,
  generation: 1,
  recover: false,
  verdict: null,
  recoveryPoint: 0,
  copyForward: false,
  flushedOffset: 0,
  config: {
    ...loadConfig().defaultLog,
    flushPolicy: 'os',
    flushMessages: Number.MAX_SAFE_INTEGER,
    flushMs: Number.MAX_SAFE_INTEGER,
  },
}

/** Runs `round` until about 256 MiB are written; resolves to its median in microseconds. */
async function time(bytesPerRound: number, round: () => void): Promise<number> {
  const iterations = Math.min(50_000, Math.ceil(bytesPerLine / bytesPerRound / 1.1))
  const bench = new Bench({ time: 0, iterations, warmupTime: 0, warmupIterations: iterations / 10 })
  bench.add('round', round)
  await bench.run()
  const { result } = bench.tasks[0]!
  if (!('latency' in result)) throw new Error('the round failed', { cause: result })
  return result.latency.p50 * 1000
}

async function timeLog(batches: readonly Uint8Array[], bytes: number, directory: string) {
  const log = PartitionLog.open({
    spec: { ...spec, directory },
    env: { disk: realDisk, clock: systemClock },
    onAdvance: () => undefined,
    onFailure: (_, error) => {
      throw error
    },
  })
  const into = newAppendResult()
  const micros = await time(bytes, () => {
    for (const batch of batches) {
      log.stage(batch, apiVersion, into)
      if (into.error !== Errors.NONE) throw new Error(errorName(into.error))
    }
    if (log.commit() !== Errors.NONE) throw new Error('commit failed')
    // A batch arrives with base offset 0; the log has patched its own in.
    for (const batch of batches) batch.fill(0, 0, 8)
  })
  log.close({ clean: false })
  return micros
}

async function timeWrite(bytes: Uint8Array, path: string): Promise<number> {
  const file = openSync(path, 'w')
  const micros = await time(bytes.length, () => {
    writeSync(file, bytes)
  })
  closeSync(file)
  return micros
}

mkdirSync(parent, { recursive: true })
const directory = mkdtempSync(join(parent, 'bench-append-'))
const rows: Record<string, string | number>[] = []
try {
  for (const recordCount of [1, 50, 1000]) {
    for (const batchCount of recordCount === 1000 ? [1, 8] : [1, 32]) {
      const value = Buffer.alloc(recordBytes, 0x6f)
      const records = Array.from({ length: recordCount }, () => ({ key: null, value }))
      const batches = Array.from({ length: batchCount }, () => encodeBatch({ records }))
      const all = Buffer.concat(batches)
      const memory = join(directory, 'ballast')
      fillBallast(memory, bytesPerLine * 2)
      dropBallast(memory)
      const log = await timeLog(batches, all.length, join(directory, 'append-0'))
      rmSync(join(directory, 'append-0'), { recursive: true })
      const write = await timeWrite(all, join(directory, 'bare'))
      rmSync(join(directory, 'bare'))
      rows.push({
        'records a batch': recordCount,
        'batches a round': batchCount,
        'log, µs a round': log.toFixed(1),
        'log, µs a batch': (log / batchCount).toFixed(2),
        'writeSync, µs': write.toFixed(1),
        'MB/s': Math.round(all.length / log),
      })
    }
  }
} finally {
  rmSync(directory, { recursive: true, force: true })
}
console.table(rows)
