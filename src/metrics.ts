/**
 * Counters, gauges and histograms of every thread in one SharedArrayBuffer. Each thread writes its own section only, so
 * adding is a plain load and store; whoever reads (HTTP /metrics, in the dispatcher) sums the sections. A read may be a
 * few nanoseconds old, never half a number: slots are aligned float64.
 *
 *    | section of thread 0: slot 0 | slot 1 | ... pad to 64 B | section of thread 1: ... |
 *    thread 0 = dispatcher, thread 1 + n = owner n
 *    labelled metric = one slot per label value, side by side
 *    histogram       = per label value: one slot per bucket (not cumulated), one for +Inf, one for the sum
 */
import assert from 'node:assert/strict'
import { apiNames, type MetricRow, metricRows } from './metrics-table.ts'

type Rows = typeof metricRows
export type MetricKey = keyof Rows
type LabelOf<K extends MetricKey> = Rows[K] extends {
  readonly label: { values: readonly (infer V)[] }
}
  ? V
  : never

/** Upper bounds of histogram buckets in seconds: 50 µs to 10 s. */
export const bucketSeconds: readonly number[] = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
  5, 10,
]
/** Buckets, +Inf, sum. */
const histogramSlots = bucketSeconds.length + 2

/** A row with its place, for the exposition. */
export interface MetricDefinition extends MetricRow {
  readonly key: MetricKey
  /** First slot; label value i starts at `slot + i * slotsPerLabel`. */
  readonly slot: number
  readonly slotsPerLabel: number
}

export const metricDefinitions: readonly MetricDefinition[] = place()

function place(): MetricDefinition[] {
  const definitions: MetricDefinition[] = []
  let slot = 0
  for (const [key, row] of Object.entries<MetricRow>(metricRows)) {
    const slotsPerLabel = row.type === 'histogram' ? histogramSlots : 1
    definitions.push({ ...row, key: key as MetricKey, slot, slotsPerLabel })
    slot += slotsPerLabel * (row.label?.values.length ?? 1)
  }
  return definitions
}

const last = metricDefinitions[metricDefinitions.length - 1]
const slotCount = last.slot + last.slotsPerLabel * (last.label?.values.length ?? 1)
const sectionSlots = Math.ceil(slotCount / 8) * 8

/** Key to id: `metrics.add(Metric.bytesIn, n)`. For a labelled metric use `labelled` once, at load time. */
export const Metric = Object.fromEntries(
  metricDefinitions.map(definition => [definition.key, definition.slot]),
) as { readonly [K in MetricKey]: number }

/** @returns the id of one label value of a labelled metric: `labelled('arenaUsedBytes', 'request')`. */
export function labelled<K extends MetricKey>(key: K, label: LabelOf<K>): number {
  const definition = metricDefinitions.find(candidate => candidate.key === key)
  assert(definition?.label, `${key} has no label`)
  const index = definition.label.values.indexOf(label as string)
  assert(index >= 0, `${key} has no label value ${label as string}`)
  return definition.slot + index * definition.slotsPerLabel
}

const otherRequests = Metric.requests + apiNames.length
const requestIds = new Map(apiNames.map(([apiKey], index) => [apiKey, Metric.requests + index]))

/** @returns the id of `requests_total` for an API key, any int16. Look it up once per API, not per request. */
export function requestsOf(apiKey: number): number {
  return requestIds.get(apiKey) ?? otherRequests
}

/** @returns the id of `request_seconds` for an API's name. Look it up once per API, not per request. */
export function secondsOf(apiName: string): number {
  const isOwn = apiName === 'Produce' || apiName === 'Fetch'
  return labelled('requestSeconds', isOwn ? apiName : 'other')
}

/** One thread's section, the writing side. Exactly one live ThreadMetrics writes a section. */
export class ThreadMetrics {
  /** All sections, for readers. */
  readonly memory: SharedArrayBuffer
  readonly #slots: Float64Array

  /** @returns bytes of the shared memory for so many threads. */
  static bytesFor(threads: number): number {
    return threads * sectionSlots * Float64Array.BYTES_PER_ELEMENT
  }

  /** A replaced owner thread gets its predecessor's section: counters go on, see `clearGauges`. */
  constructor(memory: SharedArrayBuffer, threadIndex: number) {
    const bytes = ThreadMetrics.bytesFor(1)
    assert(threadIndex >= 0 && (threadIndex + 1) * bytes <= memory.byteLength, 'no such thread')
    this.memory = memory
    this.#slots = new Float64Array(memory, threadIndex * bytes, slotCount)
  }

  add(id: number, n: number): void {
    this.#slots[id] += n
  }

  set(id: number, value: number): void {
    this.#slots[id] = value
  }

  get(id: number): number {
    return this.#slots[id]
  }

  /** Adds one observation to a histogram (id of the metric or of its label value). */
  observe(id: number, seconds: number): void {
    let bucket = 0
    while (bucket < bucketSeconds.length && seconds > bucketSeconds[bucket]) bucket++
    this.#slots[id + bucket] += 1
    this.#slots[id + histogramSlots - 1] += seconds
  }

  /** What an owner thread does first: gauges of its dead predecessor say nothing any more. */
  clearGauges(): void {
    for (const definition of metricDefinitions) {
      if (definition.type !== 'gauge') continue
      const end = definition.slot + (definition.label?.values.length ?? 1)
      this.#slots.fill(0, definition.slot, end)
    }
  }
}

/** All sections, the reading side. */
export class MetricsReader {
  readonly threads: number
  readonly #slots: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.threads = memory.byteLength / ThreadMetrics.bytesFor(1)
    assert(Number.isInteger(this.threads), 'not a metrics memory')
    this.#slots = new Float64Array(memory)
  }

  of(threadIndex: number, id: number): number {
    return this.#slots[threadIndex * sectionSlots + id]
  }

  total(id: number): number {
    let sum = 0
    for (let thread = 0; thread < this.threads; thread++) sum += this.of(thread, id)
    return sum
  }

  /** Name of a thread in labels: `dispatcher`, `owner-0`, ... */
  threadName(threadIndex: number): string {
    return threadIndex === 0 ? 'dispatcher' : `owner-${threadIndex - 1}`
  }
}
