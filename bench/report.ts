/**
 * Figures of repeated runs as medians with their spread, one markdown table, and the same as JSON. Pure: no clock, no
 * file. Ratios between two servers are taken run by run (runs are interleaved A B A B), then the median of these: slow
 * drift of a shared machine then cancels.
 */

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
  readonly samples: readonly number[]
}

/** One target of the design: what was reached, what was wanted, and whether that is enough. */
export interface Verdict {
  readonly what: string
  readonly figure: number
  readonly bound: 'at least' | 'at most'
  readonly target: number
  readonly unit: string
  /** Reached over wanted for a minimum, wanted over reached for a maximum: 1 or more is a pass. */
  readonly ratio: number
}

/** The value below which `share` (0..1) of the samples lie; NaN without samples. */
export function percentile(samples: readonly number[], share: number): number {
  if (samples.length === 0) return Number.NaN
  const sorted = [...samples].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}

/** Median (mean of the middle two for an even count) with minimum and maximum; NaN samples are left out. */
export function spread(samples: readonly number[]): Spread {
  const sorted = samples.filter(sample => !Number.isNaN(sample)).sort((a, b) => a - b)
  if (sorted.length === 0) {
    return { median: Number.NaN, min: Number.NaN, max: Number.NaN, samples }
  }
  const middle = sorted.length >> 1
  const median =
    sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted[sorted.length - 1]!, samples }
}

/** Ratios of two interleaved series, run by run. */
export function pairedRatios(
  numerators: readonly number[],
  denominators: readonly number[],
): number[] {
  const count = Math.min(numerators.length, denominators.length)
  return Array.from({ length: count }, (_, run) => numerators[run]! / denominators[run]!)
}

export function atLeast(what: string, figure: number, target: number, unit: string): Verdict {
  return { what, figure, bound: 'at least', target, unit, ratio: figure / target }
}

export function atMost(what: string, figure: number, target: number, unit: string): Verdict {
  return { what, figure, bound: 'at most', target, unit, ratio: target / figure }
}

/** A number at about three significant digits, with thousands separators; `–` when there is none. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 10_000) return (Math.round(value / 100) * 100).toLocaleString('en-US')
  if (size >= 100) return Math.round(value).toLocaleString('en-US')
  if (size >= 10) return value.toFixed(1)
  return value.toFixed(size >= 1 ? 2 : 3)
}

/** `median (min–max)`; the median alone when there was one sample. */
export function formatSpread(figures: Spread, unit = ''): string {
  const median = formatNumber(figures.median) + unit
  if (figures.samples.length < 2 || Number.isNaN(figures.median)) return median
  return `${median} (${formatNumber(figures.min)}–${formatNumber(figures.max)})`
}

/** Lays out a markdown table with padded columns, readable in a terminal as it is. */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, 3, ...rows.map(row => row[column]?.length ?? 0)),
  )
  const line = (cells: readonly string[]) =>
    `| ${widths.map((width, column) => (cells[column] ?? '').padEnd(width)).join(' | ')} |`
  const rule = `|${widths.map(width => '-'.repeat(width + 2)).join('|')}|`
  return [line(head), rule, ...rows.map(line)].join('\n')
}

/** The table of targets: every figure beside what the design asks of it. */
export function verdictTable(verdicts: readonly Verdict[]): string {
  return markdownTable(
    ['target', 'reached', 'wanted', 'ratio to target', ''],
    verdicts.map(({ what, figure, bound, target, unit, ratio }) => [
      what,
      formatNumber(figure),
      `${bound === 'at least' ? '≥' : '≤'} ${formatNumber(target)} ${unit}`,
      `${ratio.toFixed(2)}x`,
      ratio >= 1 ? 'ok' : 'MISSED',
    ]),
  )
}
