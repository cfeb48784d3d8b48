/**
 * `npm run bench -- paper`: the experiments of the 2011 paper against odradek and its rivals. Every run starts a broker
 * on an empty directory, and systems take turns within a repeat, so that a drifting machine hits all of them. A run
 * that fails costs its own row.
 *
 *   repeat 1   odradek fire/1 | ... | RabbitMQ fire/1 | ... | ActiveMQ ... | ...        (level / batch)
 *   repeat 2   the same again
 */
import { rmSync } from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import { inBenchDirectory } from './bench-directory.ts'
import { describeMachine, type Machine } from './machine.ts'
import { progress } from './outcome.ts'
import { renderPaperHtml } from './paper-html.ts'
import { type PaperOptions, type PeerName, paperHelp, parsePaperOptions } from './paper-options.ts'
import { renderPaper } from './paper-report.ts'
import {
  isRun,
  type PaperEntry,
  type PaperResults,
  readResults,
  resultsPath,
  writeWhole,
} from './paper-results.ts'
import { runPaperCase } from './paper-run.ts'
import { formatNumber } from './report.ts'
import { activemq } from './rivals/activemq.ts'
import { kafka } from './rivals/kafka.ts'
import { nats } from './rivals/nats.ts'
import { odradeks } from './rivals/odradek.ts'
import { rabbitmq } from './rivals/rabbitmq.ts'
import { redis } from './rivals/redis.ts'
import type { Rival, RivalCase } from './rivals/rival.ts'

const freeBytesMin = 8e9
/** Bytes that a message may take on a disk, body and overhead: what must be free for a run. */
const diskShareMax = 5
const peers: Readonly<Record<PeerName, Rival>> = { rabbitmq, activemq, kafka, nats, redis }

interface Planned {
  readonly rival: Rival
  readonly rivalCase: RivalCase
  readonly entry: PaperEntry
}

/** Runs the bench with the arguments behind `paper`. Resolves to the exit code; throws UsageError. */
export async function runPaper(args: readonly string[]): Promise<number> {
  const options = parsePaperOptions(args)
  if (options === null) {
    process.stdout.write(paperHelp)
    return 0
  }
  const path = options.jsonPath ?? resultsPath(new Date().toISOString().slice(0, 10))
  const freeBytes = Math.max(freeBytesMin, options.messages * options.messageBytes * diskShareMax)
  return await inBenchDirectory(options.directory, freeBytes, async directory => {
    const results = resultsOf(options, describeMachine(directory))
    const save = () => {
      writeWhole(path, `${JSON.stringify(results, null, 2)}\n`)
      writeWhole(path.replace(/(\.json)?$/, '.html'), renderPaperHtml(results))
    }
    await measureAll(options, results, directory, save)
    save()
    process.stdout.write(renderPaper(results))
    process.stderr.write(`results: ${path}, and the same as .html\n`)
    const isWhole = results.entries.every(({ runs }) => runs.some(isRun))
    return isWhole && Object.keys(results.missing).length === 0 ? 0 : 1
  })
}

function resultsOf(options: PaperOptions, measured: Machine): PaperResults {
  // A path says something about one machine only.
  const machine = { ...measured, dataDirectory: '' }
  const { messages, seconds, messageBytes, warmupMessages, resumePath } = options
  const settings = { messages, seconds, messageBytes, warmupMessages }
  const resumed = resumePath === null ? null : readResults(resumePath, settings)
  if (resumed !== null) {
    resumed.machine = machine
    return resumed
  }
  const startedAt = new Date().toISOString()
  return { startedAt, machine, ...settings, versions: {}, missing: {}, entries: [] }
}

async function measureAll(
  options: PaperOptions,
  results: PaperResults,
  directory: string,
  save: () => void,
): Promise<void> {
  const plan: Planned[] = []
  const rivals = [...(options.odradek ? odradeks : []), ...options.peers.map(name => peers[name])]
  for (const rival of rivals) {
    delete results.missing[rival.name]
    try {
      progress(`${rival.name}: looking for it`)
      results.versions[rival.name] = await rival.prepare()
    } catch (error) {
      results.missing[rival.name] = (error as Error).message
      progress(`${rival.name}: missing: ${(error as Error).message}`)
      continue
    }
    for (const rivalCase of rival.cases) {
      if (!options.levels.includes(rivalCase.level)) continue
      if (!options.batches.includes(rivalCase.batch)) continue
      plan.push({ rival, rivalCase, entry: entryOf(results, rival, rivalCase) })
    }
  }
  for (let repeat = 0; repeat < options.repeatCount; repeat++) {
    for (const planned of plan) {
      if (isRun(planned.entry.runs[repeat])) continue
      await measureOne(planned, repeat, options, directory)
      save()
    }
  }
}

async function measureOne(
  { rival, rivalCase, entry }: Planned,
  repeat: number,
  options: PaperOptions,
  directory: string,
): Promise<void> {
  const { level, batch } = rivalCase
  const what = `${repeat + 1}/${options.repeatCount} ${rival.name}, ${level}, batch ${batch}`
  const place = join(directory, 'run')
  while (entry.runs.length < repeat) entry.runs.push(null)
  try {
    const run = await runPaperCase(rival, rivalCase, options, place)
    entry.runs[repeat] = run
    const { produce, consume } = run
    const read = consume === null ? '' : `, ${formatNumber(consume.messagesPerSecond)} msg/s read`
    progress(
      `${what}: ${formatNumber(produce.messagesPerSecond)} msg/s${read} ` +
        `(load average ${os.loadavg()[0]!.toFixed(1)})`,
    )
  } catch (error) {
    entry.runs[repeat] = { failed: (error as Error).message }
    progress(`${what}: FAILED: ${(error as Error).message}`)
  } finally {
    rmSync(place, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 })
  }
}

/** The entry of this case, an earlier invocation's one where there is. */
function entryOf({ entries }: PaperResults, rival: Rival, rivalCase: RivalCase): PaperEntry {
  const { level, batch, durability } = rivalCase
  const known = entries.find(
    entry => entry.system === rival.name && entry.level === level && entry.batch === batch,
  )
  if (known !== undefined) return known
  const { name: system, driver, consuming, clientBound } = rival
  const head = { system, driver, consuming, clientBound }
  const entry: PaperEntry = { ...head, level, batch, durability, runs: [] }
  entries.push(entry)
  return entry
}
