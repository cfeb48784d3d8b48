/** The table of topics: to be searched, sorted, chosen from. Browser. */
import { blankRow, byId, fillCells, make, setRows, setText } from './dom.js'
import { byteRate, bytes, count, rate, some } from './format.js'

/** @import { StatusJson } from '../status-routes.ts' */
/** @typedef {StatusJson['topics'][number]} Topic */

const table = /** @type {HTMLTableElement} */ (byId('topics'))
const find = /** @type {HTMLInputElement} */ (byId('find'))
const internal = /** @type {HTMLInputElement} */ (byId('internal'))
/** More rows than this are for a search. */
const rowsMax = 200

/** @type {Record<string, (topic: Topic) => number | string>} */
const sortKeys = {
  name: ({ topic }) => topic,
  partitions: ({ partitions }) => partitions.length,
  records: ({ records }) => Number(records),
  size: ({ size_bytes }) => size_bytes ?? -1,
  recordsIn: ({ rates }) => rates?.records_in_per_second ?? -1,
  bytesIn: ({ rates }) => rates?.bytes_in_per_second ?? -1,
  recordsOut: ({ rates }) => rates?.records_out_per_second ?? -1,
  bytesOut: ({ rates }) => rates?.bytes_out_per_second ?? -1,
}
let sortedBy = 'name'
let isDescending = false

/** @param {(topic: string) => void} choose @param {() => void} redraw */
export function listenToTopics(choose, redraw) {
  find.addEventListener('input', redraw)
  internal.addEventListener('change', redraw)
  table.addEventListener('click', event => {
    const button = event.target instanceof HTMLElement ? event.target.closest('button') : null
    if (button === null) return
    const { topic, sort } = button.dataset
    if (topic !== undefined) choose(topic)
    if (sort === undefined) return
    // Names from a to z, numbers from the largest one on.
    isDescending = sort === sortedBy ? !isDescending : sort !== 'name'
    sortedBy = sort
    for (const heading of table.querySelectorAll('thead th')) heading.removeAttribute('aria-sort')
    const order = isDescending ? 'descending' : 'ascending'
    button.closest('th')?.setAttribute('aria-sort', order)
    redraw()
  })
}

/** @param {StatusJson} status */
export function showTopics({ topics }) {
  const wanted = find.value.trim().toLowerCase()
  const found = topics.filter(
    ({ topic, internal: isInternal }) =>
      (internal.checked || !isInternal) && topic.toLowerCase().includes(wanted),
  )
  const shown = found.toSorted(byChoice).slice(0, rowsMax)
  const empty = wanted === '' ? 'No topics yet' : 'No topic has that in its name'
  setRows(table, shown, ({ topic }) => topic, newRow, fill, empty)
  const rest = found.length - shown.length
  setText(byId('topics-note'), rest === 0 ? '' : `${some(rest, 'more topic')}: search for a name`)
}

/** @param {Topic} a @param {Topic} b */
function byChoice(a, b) {
  const [first, second] = [sortKeys[sortedBy](a), sortKeys[sortedBy](b)]
  const order = first < second ? -1 : first > second ? 1 : a.topic < b.topic ? -1 : 1
  return isDescending && first !== second ? -order : order
}

/** @param {Topic} topic */
function newRow({ topic }) {
  const button = make('button', '', topic)
  button.type = 'button'
  button.dataset.topic = topic
  return blankRow(make('th', '', button), Array(7).fill('number'))
}

/** @param {HTMLTableRowElement} row @param {Topic} topic */
function fill(row, { partitions, records, size_bytes, rates }) {
  fillCells(row, [
    count(partitions.length),
    count(records),
    bytes(size_bytes),
    rate(rates?.records_in_per_second),
    byteRate(rates?.bytes_in_per_second),
    rate(rates?.records_out_per_second),
    byteRate(rates?.bytes_out_per_second),
  ])
}
