/** The table of consumer groups. Browser. */
import { blankRow, byId, fillCells, make, setRows, setText } from './dom.js'
import { count, some } from './format.js'

/** @import { StatusJson } from '../status-routes.ts' */
/** @typedef {StatusJson['groups'][number]} Group */

const table = /** @type {HTMLTableElement} */ (byId('groups'))
const rowsMax = 200

/** @param {StatusJson} status */
export function showGroups({ groups, group_count }) {
  const shown = groups.slice(0, rowsMax)
  setRows(table, shown, ({ group_id }) => group_id, newRow, fill, 'No consumer groups')
  const rest = group_count - shown.length
  setText(byId('groups-note'), rest === 0 ? '' : `and ${some(rest, 'more group')}`)
}

/** @param {Group} group */
function newRow({ group_id }) {
  return blankRow(make('th', '', group_id), ['text', 'number', 'number'])
}

/** @param {HTMLTableRowElement} row @param {Group} group */
function fill(row, { state, members, lag }) {
  fillCells(row, [state, count(members), count(lag)])
}
