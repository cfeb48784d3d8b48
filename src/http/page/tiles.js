/** The big numbers, each with the line of its last minute. Browser. */
import { byId, make, setText } from './dom.js'
import { byteRate, rate } from './format.js'

/** @import { StatusJson } from '../status-routes.ts' */

const points = 60
const svg = 'http://www.w3.org/2000/svg'

/** @type {readonly [title: string, value: (status: StatusJson) => number | undefined, (n?: number) => string][]} */
const kinds = [
  ['Messages in', status => status.rates?.records_in_per_second, rate],
  ['Messages out', status => status.rates?.records_out_per_second, rate],
  ['Bytes in', status => status.rates?.bytes_in_per_second, byteRate],
  ['Bytes out', status => status.rates?.bytes_out_per_second, byteRate],
]

const tiles = kinds.map(([title, value, text]) => {
  const number = make('dd')
  const line = document.createElementNS(svg, 'polyline')
  const graph = document.createElementNS(svg, 'svg')
  graph.setAttribute('viewBox', `0 0 ${points - 1} 100`)
  graph.setAttribute('preserveAspectRatio', 'none')
  graph.setAttribute('aria-hidden', 'true')
  graph.append(line)
  const tile = make('div', '', make('dt', '', title), number)
  tile.append(graph)
  byId('tiles').append(tile)
  return { value, text, number, line, history: /** @type {number[]} */ ([]) }
})

/** @param {StatusJson} status */
export function showTiles(status) {
  for (const { value, text, number, line, history } of tiles) {
    const now = value(status)
    setText(number, text(now))
    if (now === undefined) continue
    history.push(now)
    if (history.length > points) history.shift()
    const most = Math.max(1, ...history)
    const first = points - history.length
    const drawn = history.map((n, i) => `${first + i},${(98 - (96 * n) / most).toFixed(1)}`)
    line.setAttribute('points', drawn.join(' '))
  }
}
