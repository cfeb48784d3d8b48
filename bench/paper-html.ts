/**
 * The HTML report of `bench paper`, one file without outside resources: the paper's Figures 4 and 5 redrawn, its
 * storage overhead, and every figure as a table. Pure.
 */
import { type Bar, barFigure, type Line, lineFigure } from './paper-figures.ts'
import {
  clientBoundOf,
  consumingEntries,
  failuresOf,
  nameOf,
  paperOverhead,
  renderHead,
  spreadOf,
} from './paper-report.ts'
import { isRun, type PaperEntry, type PaperResults, type StepFigures } from './paper-results.ts'
import { formatNumber, formatSpread } from './report.ts'
import { levels } from './rivals/rival.ts'

const style = `body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
  color: #1c2430; background: #fff }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { border-bottom: 1px solid #d5dae1; padding: .3rem .6rem; text-align: left; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
pre { white-space: pre-wrap; font-size: 13px; background: #f4f6f8; padding: .8rem }
svg { width: 100%; height: auto } svg text { font: 12px system-ui, sans-serif; fill: #1c2430 }`

export function renderPaperHtml(results: PaperResults): string {
  const { entries, missing } = results
  const notes = [
    ...Object.entries(missing).map(([name, why]) => `missing: ${name}: ${why}`),
    ...failuresOf(results),
    ...clientBoundOf(results),
  ]
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>The 2011 paper's experiments, odradek and others</title><style>${style}</style></head><body>
<h1>The 2011 paper’s experiments, on one host</h1>
<pre>${escapeText(renderHead(results))}</pre>
<h2>Producing</h2>
<p>Where no answer is awaited, or the least answer the system has. Each line is one run, the one of median speed:
messages a second over the bytes of message bodies sent so far.</p>
${lineFigure(producingLines(entries), { x: 'MB sent', y: 'messages/s' })}
<h2>Consuming</h2>
<p>One consumer over the log that was just written. The bar is the median, the line its range.</p>
${barFigure(consumingBars(entries), { unit: 'messages/s' })}
<h2>Storage overhead</h2>
<p>Bytes of disk for a message beyond its body of ${results.messageBytes}. The paper: ${paperOverhead.kafka} bytes
against ${paperOverhead.activemq} of ActiveMQ.</p>
${barFigure(overheadBars(entries), { unit: 'bytes' })}
<h2>All figures</h2>
${table(entries)}
${notes.length === 0 ? '' : `<pre>${escapeText(notes.join('\n'))}</pre>`}
<p>What these figures do not show: a network, replicas, many producers, long runs, or latency at a given rate.
Client and broker share the cores of one machine. Levels with the same name are alike, not equal: the durability column
says what each system promises.</p>
</body></html>
`
}

/** Of each system and batch the weakest level: the paper's own case, or the nearest to it that the system has. */
function weakestOf(entries: readonly PaperEntry[]): PaperEntry[] {
  const rank = ({ level }: PaperEntry) => levels.indexOf(level)
  return entries.filter(entry =>
    entries.every(
      other =>
        other.system !== entry.system || other.batch !== entry.batch || rank(other) >= rank(entry),
    ),
  )
}

function producingLines(entries: readonly PaperEntry[]): Line[] {
  return weakestOf(entries).flatMap(entry => {
    const runs = entry.runs.filter(isRun)
    const { median } = spreadOf(entry, run => run.produce.messagesPerSecond)
    const distance = (step: StepFigures) => Math.abs(step.messagesPerSecond - median)
    const [middle] = runs.map(run => run.produce).sort((a, b) => distance(a) - distance(b))
    if (middle === undefined) return []
    const label = `${nameOf(entry)}, batch ${entry.batch}${entry.level === 'fire' ? '' : ', answered'}`
    return [{ label, points: rateCurve(middle) }]
  })
}

/** Messages a second of each stretch, at the MB where it ended; a tool that told only its end is one level line. */
export function rateCurve(step: StepFigures): { x: number; y: number }[] {
  const bytesPerMessage = (step.megabytesPerSecond * 1e6) / step.messagesPerSecond
  const points: { x: number; y: number }[] = []
  let before = { seconds: 0, messages: 0 }
  // Stretches shorter than a twentieth of the run are noise of their own length.
  const secondsMin = step.seconds / 20
  for (const point of step.curve) {
    const seconds = point.seconds - before.seconds
    if (seconds < secondsMin || point.messages <= before.messages) continue
    const y = (point.messages - before.messages) / seconds
    points.push({ x: (point.messages * bytesPerMessage) / 1e6, y })
    before = point
  }
  const end = (step.messages * bytesPerMessage) / 1e6
  if (points.length < 2) return [0, end].map(x => ({ x, y: step.messagesPerSecond }))
  return [{ x: 0, y: points[0]!.y }, ...points]
}

function consumingBars(entries: readonly PaperEntry[]): Bar[] {
  return consumingEntries(entries).map(entry => {
    const { median, min, max } = spreadOf(
      entry,
      run => run.consume?.messagesPerSecond ?? Number.NaN,
    )
    return { label: `${nameOf(entry)}, batch ${entry.batch}`, value: median, low: min, high: max }
  })
}

function overheadBars(entries: readonly PaperEntry[]): Bar[] {
  const bars = weakestOf(entries).map(entry => {
    const { median, min, max } = spreadOf(entry, run => run.overheadBytes)
    const label = `${entry.system}, batch ${entry.batch}`
    return { label, value: median, low: min, high: max }
  })
  return bars.filter(({ value }) => Number.isFinite(value))
}

function table(entries: readonly PaperEntry[]): string {
  const head = ['system', 'level', 'batch', 'produced msg/s', 'MB/s', 'CPU s/million']
  head.push('consumed msg/s', 'CPU s/million', 'overhead B', 'durability', 'driver')
  const numbers = new Set([2, 3, 4, 5, 6, 7, 8])
  const cell = (tag: 'th' | 'td') => (text: string, column: number) =>
    `<${tag}${numbers.has(column) ? ' class="number"' : ''}>${escapeText(text)}</${tag}>`
  const rows = entries.map(entry => {
    const { system: _, level, batch, durability, driver } = entry
    const produced = spreadOf(entry, run => run.produce.messagesPerSecond)
    const consumed = spreadOf(entry, run => run.consume?.messagesPerSecond ?? Number.NaN)
    const cells = [
      ...[nameOf(entry), level, String(batch), formatSpread(produced)],
      formatNumber(spreadOf(entry, run => run.produce.megabytesPerSecond).median),
      formatNumber(spreadOf(entry, run => run.produce.brokerCpuPerMillion).median),
      formatSpread(consumed),
      formatNumber(spreadOf(entry, run => run.consume?.brokerCpuPerMillion ?? Number.NaN).median),
      formatNumber(spreadOf(entry, run => run.overheadBytes).median),
      ...[durability, driver],
    ]
    return `<tr>${cells.map(cell('td')).join('')}</tr>`
  })
  return `<table><thead><tr>${head.map(cell('th')).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table>`
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
