/** Which thread holds which partition, and how busy both are. Browser. */
import { blankRow, byId, fillCells, make, setRows, setText } from './dom.js'
import { byteRate, rate, unknown } from './format.js'

/** @import { StatusJson } from '../status-routes.ts' */
/** @typedef {StatusJson['workers'][number]} Worker */
/** @typedef {StatusJson['topics'][number]['partitions'][number] & { topic: string }} Partition */

const table = /** @type {HTMLTableElement} */ (byId('workers'))
/** More squares than this are only counted. */
const cellsMax = 1024
const steps = 5

/** The dispatcher owns no partitions; its load decides all the same. */
const dispatcherRow = -1

/** @param {(topic: string) => void} choose */
export function listenToCells(choose) {
  table.addEventListener('click', event => {
    const topic = event.target instanceof HTMLElement ? event.target.dataset.topic : undefined
    if (topic !== undefined) choose(topic)
  })
}

/** @param {StatusJson} status @param {string | null} chosen a topic */
export function showWorkers(status, chosen) {
  /** @type {Map<number, Partition[]>} */
  const held = new Map(status.workers.map(({ worker }) => [worker, []]))
  for (const { topic, partitions } of status.topics) {
    for (const partition of partitions) held.get(partition.worker)?.push({ ...partition, topic })
  }
  const most = Math.max(1, ...[...held.values()].flat().map(traffic))
  const rows = [...status.workers.map(({ worker }) => worker), dispatcherRow]
  const fill = (/** @type {HTMLTableRowElement} */ row, /** @type {number} */ index) => {
    if (index === dispatcherRow) {
      fillRow(row, 'dispatcher', status.dispatcher_load, ['', '', '', '', ''])
      setText(row.cells[7], 'sockets, requests, answers')
      return
    }
    const worker = status.workers[index]
    fillRow(
      row,
      worker.up ? `owner-${index}` : `owner-${index} (down)`,
      worker.load,
      numbers(worker),
    )
    showCells(row.cells[7], held.get(index) ?? [], most, chosen)
  }
  setRows(table, rows, String, newRow, fill, '')
}

function newRow() {
  const row = blankRow(make('th'), ['text', ...Array(5).fill('number'), 'text'])
  const meter = make('meter')
  meter.max = 1
  meter.high = 0.85
  row.cells[1].append(meter, ' ', make('span'))
  row.cells[7].append(make('div', 'cells'))
  return row
}

/** @param {Worker} worker */
function numbers({ rates, flushes_per_second, flush_mean_ms }) {
  return [
    rate(rates?.records_in_per_second),
    byteRate(rates?.bytes_in_per_second),
    byteRate(rates?.bytes_out_per_second),
    rate(flushes_per_second),
    flush_mean_ms === null ? unknown : `${flush_mean_ms} ms`,
  ]
}

/** @param {HTMLTableRowElement} row @param {string} name @param {number | null} load @param {string[]} texts */
function fillRow(row, name, load, texts) {
  setText(row.cells[0], name)
  const [meter, text] = row.cells[1].children
  if (meter instanceof HTMLMeterElement) {
    meter.value = load ?? 0
    meter.setAttribute('aria-label', `load of ${name}`)
  }
  setText(text, load === null ? unknown : `${Math.round(load * 100)} %`)
  fillCells(row, texts, 2)
}

/**
 * @param {HTMLTableCellElement} place @param {readonly Partition[]} partitions @param {number} most
 * @param {string | null} chosen
 */
function showCells(place, partitions, most, chosen) {
  const cells = place.children[0]
  const shown = partitions.slice(0, cellsMax)
  const rest = partitions.length - shown.length
  // A click is a short cut only: the table of topics has the same, with words.
  cells.setAttribute('role', 'img')
  cells.setAttribute('aria-label', summary(partitions))
  while (cells.children.length > shown.length) cells.lastElementChild?.remove()
  while (cells.children.length < shown.length) cells.append(make('span'))
  shown.forEach((partition, i) => {
    fillCell(/** @type {HTMLElement} */ (cells.children[i]), partition, most, chosen)
  })
  if (rest > 0) cells.append(make('small', '', `and ${rest} more`))
}

/** @param {HTMLElement} cell @param {Partition} partition @param {number} most @param {string | null} chosen */
function fillCell(cell, partition, most, chosen) {
  const { topic, partition: index, state, reason, rates } = partition
  const takesRecords = state === 'online'
  const step = takesRecords ? `heat-${heat(traffic(partition), most)}` : 'is-offline'
  const className = `cell ${step}${topic === chosen ? ' is-chosen' : ''}`
  if (cell.className !== className) cell.className = className
  setText(cell, takesRecords ? '' : '×')
  cell.dataset.topic = topic
  const bytesIn = byteRate(rates?.bytes_in_per_second)
  const title = `${topic}-${index}: ${bytesIn} in, ${byteRate(rates?.bytes_out_per_second)} out`
  cell.title = takesRecords ? title : `${topic}-${index}: ${reason ?? state}`
}

/** On a scale of logarithms: a partition with a hundredth of the busiest one's traffic is still seen. */
function heat(/** @type {number} */ bytes, /** @type {number} */ most) {
  if (bytes <= 0) return 0
  const share = Math.log10(bytes + 1) / Math.log10(most + 1)
  return Math.min(steps, Math.max(1, Math.ceil(share * steps)))
}

/** @param {Partition} partition */
function traffic({ rates }) {
  return rates === null ? 0 : rates.bytes_in_per_second + rates.bytes_out_per_second
}

/** @param {readonly Partition[]} partitions */
function summary(partitions) {
  const down = partitions.filter(({ state }) => state !== 'online').length
  const busy = partitions.filter(partition => traffic(partition) > 0).length
  return `${partitions.length} partitions, ${busy} busy, ${down} take no records`
}
