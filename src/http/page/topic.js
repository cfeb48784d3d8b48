/** One topic: its partitions, and what comes in. Browser. */
import { blankRow, byId, fillCells, make, setRows, setText } from './dom.js'
import { bytes, count, rate, some } from './format.js'
import { endTail, startTail } from './tail.js'

/** @import { StatusJson } from '../status-routes.ts' */
/** @typedef {StatusJson['topics'][number]['partitions'][number]} Partition */

const table = /** @type {HTMLTableElement} */ (byId('partitions'))
const section = byId('topic')
const rowsMax = 256

/** @type {string | null} */
let shown = null

/**
 * @param {StatusJson} status @param {string | null} chosen its name
 * @returns {boolean} whether another topic is shown from now on
 */
export function showTopic(status, chosen) {
  const topic = status.topics.find(one => one.topic === chosen)
  const isNew = chosen !== shown
  section.hidden = chosen === null
  if (isNew) {
    shown = chosen
    endTail()
  }
  if (chosen === null) return false
  setText(byId('topic-title'), chosen)
  setText(byId('topic-about'), about(topic))
  const partitions = topic?.partitions ?? []
  const first = partitions.slice(0, rowsMax)
  setRows(table, first, ({ partition }) => String(partition), newRow, fill, 'None')
  const rest = partitions.length - first.length
  setText(byId('partitions-note'), rest === 0 ? '' : `and ${some(rest, 'more partition')}`)
  if (topic === undefined) {
    endTail()
    shown = null
    return false
  }
  if (isNew) startTail(chosen)
  return isNew
}

/** @param {StatusJson['topics'][number] | undefined} topic */
function about(topic) {
  if (topic === undefined) return 'There is no such topic any more.'
  const { partitions, records, size_bytes, topic_id, internal } = topic
  const facts = [
    some(partitions.length, 'partition'),
    `${count(records)} messages`,
    bytes(size_bytes),
    `id ${topic_id}`,
  ]
  return `${facts.join(', ')}${internal ? "; the broker's own" : ''}`
}

/** @param {Partition} partition */
function newRow({ partition }) {
  const heading = make('th', 'number', String(partition))
  return blankRow(heading, ['text', 'text', ...Array(5).fill('number')])
}

/** @param {HTMLTableRowElement} row @param {Partition} partition */
function fill(row, partition) {
  const { worker, state, reason, log_start_offset, log_end_offset, size_bytes, rates } = partition
  fillCells(row, [
    `owner-${worker}`,
    reason === null || reason === state ? state : `${state}: ${reason}`,
    count(log_start_offset),
    count(log_end_offset),
    bytes(size_bytes),
    rate(rates?.records_in_per_second),
    rate(rates?.records_out_per_second),
  ])
}
