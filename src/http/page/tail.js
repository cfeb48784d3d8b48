/** What comes into the chosen topic, as it comes: server-sent events of /topics/{topic}/events. Browser. */
import { byId, make, setText } from './dom.js'

/**
 * @typedef {object} Shown
 * @property {number} partition @property {string} offset @property {number} timestamp
 * @property {string | null} [key] @property {string} [key_base64]
 * @property {string | null} [value] @property {string} [value_base64]
 */

const body = /** @type {HTMLTableElement} */ (byId('tail')).tBodies[0]
const state = byId('tail-state')
const pause = byId('tail-pause')
const rowsMax = 100
/** Longer keys and values are cut: a page is no place for megabytes. */
const charsMax = 2000

/** @type {EventSource | null} */
let source = null
/** @type {Shown[]} */
let waiting = []
let dropped = 0
let isPaused = false
let isDrawing = false

pause.addEventListener('click', () => {
  isPaused = !isPaused
  pause.setAttribute('aria-pressed', String(isPaused))
  if (!isPaused) drawSoon()
})

/** @param {string} topic */
export function startTail(topic) {
  endTail()
  const address = `topics/${encodeURIComponent(topic)}/events?from=latest`
  source = new EventSource(address)
  const here = source
  setText(state, 'connecting')
  here.addEventListener('open', () => setText(state, 'waiting for messages'))
  here.addEventListener('message', event => {
    waiting.push(JSON.parse(event.data))
    if (waiting.length > rowsMax) {
      waiting.shift()
      dropped++
    }
    drawSoon()
  })
  // Named so by the broker, with a reason, and by the browser when the connection is gone.
  here.addEventListener('error', event => {
    const data = event instanceof MessageEvent ? String(event.data) : ''
    if (data !== '') setText(state, reasonIn(data))
    else if (here.readyState === EventSource.CLOSED) void askWhy(address)
    else setText(state, 'connecting again')
  })
  for (const name of ['lost', 'reset', 'unavailable']) {
    here.addEventListener(name, event => setText(state, `${name}: ${reasonIn(event.data)}`))
  }
}

export function endTail() {
  source?.close()
  source = null
  waiting = []
  dropped = 0
  body.replaceChildren()
  setText(state, '')
}

/** An event source does not tell why it was refused; the same request does. @param {string} address */
async function askWhy(address) {
  setText(state, 'the broker gives no tail')
  const end = new AbortController()
  try {
    const answer = await fetch(address, { signal: end.signal })
    if (!answer.ok) setText(state, reasonIn(await answer.text()))
  } finally {
    end.abort()
  }
}

/** @param {string} data of an event, or of a refusal */
function reasonIn(data) {
  try {
    return String(JSON.parse(data).message ?? data)
  } catch {
    return data
  }
}

/** However fast they come, the page draws once a frame. */
function drawSoon() {
  if (isDrawing || isPaused) return
  isDrawing = true
  requestAnimationFrame(() => {
    isDrawing = false
    if (!isPaused) draw()
  })
}

function draw() {
  const rows = waiting.map(newRow).reverse()
  waiting = []
  if (rows.length === 0) return
  body.prepend(...rows)
  while (body.rows.length > rowsMax) body.lastElementChild?.remove()
  setText(state, dropped === 0 ? '' : `${dropped} more came than can be shown`)
}

/** @param {Shown} record */
function newRow(record) {
  const { partition, offset, timestamp } = record
  const time = make('time', '', timeOf(timestamp))
  return make(
    'tr',
    '',
    make('td', 'number', String(partition)),
    make('td', 'number', offset),
    make('td', '', time),
    make('td', '', shown(record.key, record.key_base64)),
    make('td', '', shown(record.value, record.value_base64)),
  )
}

/** @param {number} wallMs any number that a producer made up */
function timeOf(wallMs) {
  const time = new Date(wallMs)
  return Number.isNaN(time.getTime()) ? String(wallMs) : time.toISOString().slice(11, 23)
}

/** @param {string | null | undefined} text @param {string | undefined} base64 of bytes that are no text */
function shown(text, base64) {
  const whole = text ?? (base64 === undefined ? 'null' : `base64 ${base64}`)
  return whole.length > charsMax ? `${whole.slice(0, charsMax)} …` : whole
}
