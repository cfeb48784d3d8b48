/** Elements without markup: whatever a name or a record holds, it is shown as text. Browser. */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag @param {string} [className] @param {...(Node | string)} children
 */
export function make(tag, className = '', ...children) {
  const element = document.createElement(tag)
  if (className !== '') element.className = className
  element.append(...children)
  return element
}

/**
 * The one element with this id.
 * @template {Element} [Kind=HTMLElement]
 * @param {string} id @returns {Kind}
 */
export function byId(id) {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`no element ${id}`)
  return /** @type {Kind} */ (/** @type {unknown} */ (element))
}

/** Leaves alone what is right already: a reader's selection and a screen reader's place stay. @param {Node} node */
export function setText(node, /** @type {string} */ text) {
  if (node.textContent !== text) node.textContent = text
}

/**
 * Makes the rows of a table those of `items`, in their order; rows that stay keep their elements.
 * @template Item
 * @param {HTMLTableElement} table @param {readonly Item[]} items @param {(item: Item) => string} keyOf
 * @param {(item: Item) => HTMLTableRowElement} newRow
 * @param {(row: HTMLTableRowElement, item: Item) => void} fill
 * @param {string} empty what a table without rows says
 */
export function setRows(table, items, keyOf, newRow, fill, empty) {
  const body = table.tBodies[0]
  /** @type {Map<string, HTMLTableRowElement>} */
  const present = new Map()
  for (const row of body.rows) present.set(row.dataset.key ?? '', row)
  const rows = items.map(item => {
    const key = keyOf(item)
    const row = present.get(key) ?? newRow(item)
    row.dataset.key = key
    fill(row, item)
    return row
  })
  if (rows.length === 0) rows.push(emptyRow(table, empty))
  const isSame = rows.length === body.rows.length && rows.every((row, i) => body.rows[i] === row)
  if (isSame) return
  const focused = document.activeElement
  body.replaceChildren(...rows)
  // Moving an element takes the focus away.
  if (focused instanceof HTMLElement && body.contains(focused)) focused.focus()
}

/** @param {HTMLTableElement} table @param {string} text */
function emptyRow(table, text) {
  const cell = make('td', '', text)
  cell.colSpan = table.tHead?.rows[0].cells.length ?? 1
  const row = make('tr', 'empty', cell)
  row.dataset.key = '\0empty'
  return row
}

/** A row with a heading and cells for numbers or text, to be filled. @param {readonly ('number' | 'text')[]} kinds */
export function blankRow(/** @type {HTMLTableCellElement} */ heading, kinds) {
  heading.scope = 'row'
  return make('tr', '', heading, ...kinds.map(kind => make('td', kind === 'number' ? kind : '')))
}

/** @param {HTMLTableRowElement} row @param {readonly string[]} texts from the cell `first` on */
export function fillCells(row, texts, first = 1) {
  texts.forEach((text, i) => {
    setText(row.cells[first + i], text)
  })
}
