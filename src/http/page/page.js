/**
 * Asks the broker how it is doing, once a second while somebody looks, and shows the answer. Browser.
 *
 *   GET v1/status ──▶ tiles, workers, topics, groups        #topic=NAME ──▶ its partitions, and its tail
 */
import { byId, setText } from './dom.js'
import { bytes, duration, rate, some } from './format.js'
import { showGroups } from './groups.js'
import { showTiles } from './tiles.js'
import { showTopic } from './topic.js'
import { listenToTopics, showTopics } from './topics.js'
import { listenToCells, showWorkers } from './workers.js'

/** @import { StatusJson } from '../status-routes.ts' */

const askMs = 1000
const askMsMax = 8000
const patienceMs = 10_000

/** @type {StatusJson | null} */
let status = null
let answeredAt = new Date()
/** Times in a row that there was no answer. */
let failures = 0
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer
let isAsking = false

async function ask() {
  if (isAsking) return
  isAsking = true
  try {
    const response = await fetch('v1/status', { signal: AbortSignal.timeout(patienceMs) })
    if (!response.ok) throw new Error(`it answered ${response.status}`)
    status = /** @type {StatusJson} */ (await response.json())
    answeredAt = new Date()
    failures = 0
    show(status)
    showTiles(status)
  } catch (error) {
    failures++
    showSilence(error)
  } finally {
    isAsking = false
    askLater()
  }
}

function askLater() {
  clearTimeout(timer)
  if (document.hidden) return
  timer = setTimeout(() => void ask(), Math.min(askMs * 2 ** failures, askMsMax))
}

/** @param {StatusJson} now */
function show(now) {
  const { version, broker, uptime_seconds } = now
  const address = `${broker.host}:${broker.port}`
  setText(
    byId('about'),
    `${version}, broker ${broker.node_id} at ${address}, up ${duration(uptime_seconds)}`,
  )
  document.title = `odradek ${address}`
  showState(now.ready ? 'ready' : 'not-ready', now.ready ? 'ready' : 'not ready')
  showProblems(problemsOf(now))
  const chosen = chosenTopic()
  showWorkers(now, chosen)
  showTopics(now)
  const isAnother = showTopic(now, chosen)
  showGroups(now)
  const disk =
    now.disk_free_bytes === null ? '' : `${bytes(now.disk_free_bytes)} free on the disk, `
  setText(
    byId('footer'),
    `${disk}${some(now.kafka_connections, 'Kafka connection')}, ` +
      `${rate(now.kafka_requests_per_second)} Kafka and ${rate(now.http_requests_per_second)} HTTP requests, ` +
      `${some(now.unflushed_records, 'message')} not flushed yet, ` +
      `${some(now.worker_restarts, 'worker restart')}, cluster ${now.cluster_id}, Node ${now.node_version}`,
  )
  if (isAnother) byId('topic-title').focus()
}

/** @param {StatusJson} now */
function problemsOf({ ready, serving, reasons, unavailable_count }) {
  if (ready) return ''
  if (!serving) return 'The broker is starting or shutting down.'
  const rest = unavailable_count - reasons.length
  const lines = rest > 0 ? [...reasons, `and ${rest} more`] : reasons
  return `Not all partitions take records:\n${lines.join('\n')}`
}

/** @param {string} text */
function showProblems(text) {
  const place = byId('problems')
  setText(place, text)
  place.hidden = text === ''
}

/** @param {unknown} error */
function showSilence(error) {
  const reason = error instanceof Error ? error.message : String(error)
  showState('silent', 'no answer')
  showProblems(
    status === null
      ? `The broker does not answer (${reason}). Asking again.`
      : `The broker does not answer (${reason}): what is below is of ${answeredAt.toLocaleTimeString()}. Asking again.`,
  )
}

/** @param {'ready' | 'not-ready' | 'silent'} state @param {string} text */
function showState(state, text) {
  const place = byId('state')
  place.dataset.state = state
  setText(place, text)
}

/** The choice stands in the address: it can be linked, and the browser's way back undoes it. */
function chosenTopic() {
  return new URLSearchParams(location.hash.slice(1)).get('topic')
}

/** @param {string} topic */
function choose(topic) {
  location.hash = new URLSearchParams({ topic }).toString()
}

function redraw() {
  if (status !== null) show(status)
}

listenToCells(choose)
listenToTopics(choose, redraw)
byId('topic-close').addEventListener('click', () => {
  location.hash = ''
  byId('find').focus()
})
window.addEventListener('hashchange', redraw)
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) void ask()
})
void ask()
