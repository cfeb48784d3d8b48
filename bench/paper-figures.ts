/**
 * The figures of the paper report as SVG text. Speeds of these systems lie decades apart, so the axis of a line figure
 * is logarithmic: equal distances are equal ratios. Pure.
 */
import { formatNumber } from './report.ts'

export interface Line {
  readonly label: string
  readonly points: readonly { readonly x: number; readonly y: number }[]
}

export interface Bar {
  readonly label: string
  readonly value: number
  readonly low: number
  readonly high: number
}

const width = 1000
const plot = { left: 80, right: 620, top: 20, bottom: 400 }
const lineHeight = 18
const barHeight = 16
const barGap = 10
const barLeft = 300
const barRight = 830
/** After eight lines they come again, dashed. */
const colours = [
  '#0b6e99',
  '#c2410c',
  '#15803d',
  '#7c3aed',
  '#b45309',
  '#be185d',
  '#475569',
  '#0f766e',
]

/** Both axes with their titles; one line each, labelled beside the plot. */
export function lineFigure(
  lines: readonly Line[],
  titles: { readonly x: string; readonly y: string },
): string {
  const points = lines.flatMap(line => line.points).filter(({ y }) => y > 0)
  if (points.length === 0) return '<p>No run to draw.</p>'
  const xMax = Math.max(...points.map(({ x }) => x))
  const decades = [
    Math.floor(Math.log10(Math.min(...points.map(({ y }) => y)))),
    Math.ceil(Math.log10(Math.max(...points.map(({ y }) => y)) * 1.001)),
  ] as const
  const at = ({ x, y }: { x: number; y: number }) => {
    const share = (Math.log10(y) - decades[0]) / (decades[1] - decades[0])
    const px = plot.left + (x / xMax) * (plot.right - plot.left)
    return [px, plot.bottom - share * (plot.bottom - plot.top)] as const
  }
  const parts: string[] = []
  for (let decade = decades[0]; decade <= decades[1]; decade++) {
    const [, y] = at({ x: 0, y: 10 ** decade })
    parts.push(grid(plot.left, y, plot.right, y))
    parts.push(label(plot.left - 8, y + 4, (10 ** decade).toLocaleString('en-US'), 'end'))
  }
  for (let tick = 0; tick <= 4; tick++) {
    const [x] = at({ x: (xMax * tick) / 4, y: 10 ** decades[0] })
    parts.push(label(x, plot.bottom + 18, formatNumber((xMax * tick) / 4), 'middle'))
  }
  parts.push(label((plot.left + plot.right) / 2, plot.bottom + 38, titles.x, 'middle'))
  parts.push(label(plot.left, plot.top - 6, titles.y, 'start'))
  for (const [index, line] of lines.entries()) {
    const path = line.points.filter(({ y }) => y > 0).map(point => at(point).map(round).join(','))
    const stroke = strokeOf(index)
    parts.push(`<polyline points="${path.join(' ')}" fill="none" ${stroke}/>`)
    const y = plot.top + 10 + index * lineHeight
    parts.push(`<line x1="640" y1="${y}" x2="664" y2="${y}" ${stroke}/>`)
    parts.push(label(672, y + 4, line.label, 'start'))
  }
  const height = Math.max(plot.bottom + 50, plot.top + 30 + lines.length * lineHeight)
  return svg(height, `${titles.y} over ${titles.x}`, parts)
}

/** Horizontal bars from zero, each with its range and its value. */
export function barFigure(bars: readonly Bar[], { unit }: { readonly unit: string }): string {
  const drawn = bars.filter(({ value }) => Number.isFinite(value))
  if (drawn.length === 0) return '<p>No run to draw.</p>'
  const max = Math.max(...drawn.map(({ high }) => high), Number.MIN_VALUE)
  const at = (value: number) => round(barLeft + (Math.max(0, value) / max) * (barRight - barLeft))
  const parts = drawn.flatMap(({ label: text, value, low, high }, index) => {
    const y = 10 + index * (barHeight + barGap)
    const middle = y + barHeight / 2
    const bar = `<rect x="${barLeft}" y="${y}" width="${at(value) - barLeft}" height="${barHeight}" fill="#0b6e99"/>`
    const range =
      `<line x1="${at(low)}" y1="${middle}" x2="${at(high)}" y2="${middle}" ` +
      'stroke="#1c2430" stroke-width="2"/>'
    return [
      label(barLeft - 8, y + 13, text, 'end'),
      bar,
      range,
      label(at(Math.max(value, high)) + 8, y + 13, `${formatNumber(value)} ${unit}`, 'start'),
    ]
  })
  return svg(20 + drawn.length * (barHeight + barGap), unit, parts)
}

function strokeOf(index: number): string {
  const dashes = Math.floor(index / colours.length) % 2 === 1 ? ' stroke-dasharray="6 4"' : ''
  return `stroke="${colours[index % colours.length]}" stroke-width="2"${dashes}`
}

function svg(height: number, title: string, parts: readonly string[]): string {
  return (
    `<svg viewBox="0 0 ${width} ${height}" role="img" xmlns="http://www.w3.org/2000/svg">` +
    `<title>${title}</title>\n${parts.join('\n')}\n</svg>`
  )
}

function label(x: number, y: number, text: string, anchor: 'start' | 'middle' | 'end'): string {
  const safe = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${safe}</text>`
}

function grid(x1: number, y1: number, x2: number, y2: number): string {
  return `<line x1="${x1}" y1="${round(y1)}" x2="${x2}" y2="${round(y2)}" stroke="#d5dae1"/>`
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
