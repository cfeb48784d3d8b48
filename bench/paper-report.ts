/** What `bench paper` prints: machine, settings, one table for producing, one for consuming, what is missing. Pure. */
import { paperFigures } from '../src/load/paper.ts'
import { isRun, type PaperEntry, type PaperResults, type PaperRun } from './paper-results.ts'
import { formatNumber, formatSpread, markdownTable, type Spread, spread } from './report.ts'

/** How the paper's own figures are quoted: bytes beyond a message of 200. */
export const paperOverhead = { kafka: 9, activemq: 144 }

export function renderPaper(results: PaperResults): string {
  const parts = [renderHead(results), renderProduce(results), renderConsume(results)]
  parts.push(renderDurability(results))
  const missing = Object.entries(results.missing).map(([name, why]) => `missing   ${name}: ${why}`)
  const notes = [...missing, ...failuresOf(results), ...clientBoundOf(results)]
  if (notes.length > 0) parts.push(notes.join('\n'))
  return `${parts.filter(part => part !== '').join('\n\n')}\n`
}

/** Lines `word   text` of the machine and the settings. */
export function renderHead({ startedAt, machine, versions, ...settings }: PaperResults): string {
  const { messages, seconds, messageBytes, warmupMessages } = settings
  const { coreCount, cpuModel, memoryBytes, kernel, nodeVersion } = machine
  const { fileSystem, fdatasyncP50Ms, fdatasyncP99Ms, loadAverage } = machine
  const systems = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return [
    `odradek paper bench, ${startedAt}`,
    `machine   ${coreCount} x ${cpuModel}, ${formatNumber(memoryBytes / 1e9)} GB, ${kernel}, Node ${nodeVersion}, ` +
      `load average before ${loadAverage.toFixed(2)}; loopback, client and broker on the same cores`,
    `disk      ${fileSystem}, 4 KiB append + fdatasync p50 ${fdatasyncP50Ms.toFixed(2)} ms, ` +
      `p99 ${fdatasyncP99Ms.toFixed(2)} ms`,
    `settings  ${messages.toLocaleString('en-US')} messages of ${messageBytes} bytes or ${seconds} s, one producer, ` +
      `then one consumer; ${warmupMessages.toLocaleString('en-US')} messages of warm-up; ` +
      'median (min–max) of the repeats',
    `systems   ${systems.join('; ')}`,
    `paper     2011, two machines of 8 x 2 GHz, 1 Gb/s: Kafka ${formatNumber(paperFigures.producedOne)} msg/s at ` +
      `batch 1, ${formatNumber(paperFigures.producedFifty)} at batch 50, ` +
      `${formatNumber(paperFigures.consumed)} consumed; ${paperOverhead.kafka} bytes of overhead a message, ` +
      `ActiveMQ ${paperOverhead.activemq}`,
  ].join('\n')
}

function renderProduce({ entries }: PaperResults): string {
  const rows = entries.map(entry => {
    const of = (figure: (run: PaperRun) => number | null) => spreadOf(entry, figure)
    return [
      nameOf(entry),
      entry.level,
      String(entry.batch),
      speedCell(entry, run => run.produce.messagesPerSecond),
      formatNumber(of(run => run.produce.megabytesPerSecond).median),
      formatSpread(of(run => run.produce.brokerCpuPerMillion)),
      coresCell(
        of(run => run.produce.brokerCores),
        of(run => run.produce.clientCores),
      ),
      formatNumber(of(run => run.overheadBytes).median),
    ]
  })
  const head = ['producing', 'level', 'batch', 'msg/s', 'MB/s', 'broker CPU s/million']
  return markdownTable([...head, 'cores: broker + client', 'overhead B/message'], rows)
}

function renderConsume({ entries }: PaperResults): string {
  const rows = consumingEntries(entries).map(entry => {
    const of = (figure: (run: PaperRun) => number | undefined) =>
      spreadOf(entry, run => figure(run) ?? Number.NaN)
    return [
      nameOf(entry),
      String(entry.batch),
      entry.consuming,
      speedCell(entry, run => run.consume?.messagesPerSecond ?? Number.NaN),
      formatNumber(of(run => run.consume?.megabytesPerSecond).median),
      formatSpread(of(run => run.consume?.brokerCpuPerMillion)),
      coresCell(
        of(run => run.consume?.brokerCores),
        of(run => run.consume?.clientCores),
      ),
    ]
  })
  if (rows.length === 0) return ''
  const head = ['consuming', 'batch', 'how', 'msg/s', 'MB/s', 'broker CPU s/million']
  return markdownTable([...head, 'cores: broker + client'], rows)
}

function renderDurability({ entries }: PaperResults): string {
  return markdownTable(
    ['system', 'level', 'batch', 'what the producer is told, and when', 'driver'],
    entries.map(entry => [
      nameOf(entry),
      entry.level,
      String(entry.batch),
      entry.durability,
      entry.driver,
    ]),
  )
}

/** Marked when its figure says more about its client. */
export function nameOf({ system, clientBound }: PaperEntry): string {
  return clientBound === null ? system : `${system} *`
}

/** Those whose log was read at least once. */
export function consumingEntries(entries: readonly PaperEntry[]): PaperEntry[] {
  return entries.filter(({ runs }) => runs.some(run => isRun(run) && run.consume !== null))
}

/** Over the runs that succeeded. */
export function spreadOf({ runs }: PaperEntry, figure: (run: PaperRun) => number | null): Spread {
  return spread(runs.filter(isRun).map(run => figure(run) ?? Number.NaN))
}

function speedCell(entry: PaperEntry, figure: (run: PaperRun) => number): string {
  const cell = formatSpread(spreadOf(entry, figure))
  const failed = entry.runs.filter(run => run !== null && !isRun(run)).length
  if (failed === 0) return cell
  return failed === entry.runs.length ? 'failed' : `${cell}, ${failed} failed`
}

function coresCell(broker: Spread, client: Spread): string {
  return `${formatNumber(broker.median)} + ${formatNumber(client.median)}`
}

/** One line each, as `failed    Redis Streams, fire, batch 1: why`. */
export function failuresOf({ entries }: PaperResults): string[] {
  const lines = entries.flatMap(({ system, level, batch, runs }) =>
    runs.flatMap(run =>
      run !== null && 'failed' in run
        ? [`failed    ${system}, ${level}, batch ${batch}: ${run.failed}`]
        : [],
    ),
  )
  return [...new Set(lines)]
}

export function clientBoundOf({ entries }: PaperResults): string[] {
  const lines = entries.flatMap(({ system, clientBound }) =>
    clientBound === null ? [] : [`*         ${system}: bound by its client: ${clientBound}`],
  )
  return [...new Set(lines)]
}
