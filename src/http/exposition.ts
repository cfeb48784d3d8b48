/**
 * The metric slots as Prometheus text. prom-client formats; nothing is counted in it: every number is read from shared
 * memory, or from the process, when somebody asks. Dispatcher thread; loaded at the first scrape.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import {
  bucketSeconds,
  type MetricDefinition,
  MetricsReader,
  metricDefinitions,
} from '../metrics.ts'
import type { HttpServices } from './http-services.ts'

const metricPrefix = 'odradek_'

type Labels = Record<string, string>

export class Exposition {
  readonly #registry = new Registry()
  readonly #reader: MetricsReader

  constructor(
    metricsMemory: SharedArrayBuffer,
    version: string,
    groupLags: HttpServices['groups']['lags'],
  ) {
    this.#reader = new MetricsReader(metricsMemory)
    for (const definition of metricDefinitions) {
      if (definition.type === 'histogram') this.#addHistogram(definition)
      else this.#addNumber(definition)
    }
    addGroupLags(this.#registry, groupLags)
    addProcessMetrics(this.#registry, version)
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  /** @returns all metrics in the text format 0.0.4, as they stand now. */
  async text(): Promise<string> {
    return await this.#registry.metrics()
  }

  #addNumber(definition: MetricDefinition): void {
    const series = () => this.#series(definition)
    const configuration = {
      name: metricPrefix + definition.name,
      help: definition.help,
      labelNames: labelNames(definition),
      registers: [this.#registry],
    }
    if (definition.type === 'gauge') {
      const gauge = new Gauge({
        ...configuration,
        collect() {
          for (const [labels, value] of series()) gauge.set(labels, value)
        },
      })
      return
    }
    const counter = new Counter({
      ...configuration,
      collect() {
        counter.reset()
        for (const [labels, value] of series()) counter.inc(labels, value)
      },
    })
  }

  *#series(definition: MetricDefinition): Generator<[Labels, number]> {
    if (definition.perThread) {
      for (let thread = 0; thread < this.#reader.threads; thread++) {
        const labels = { thread: this.#reader.threadName(thread) }
        yield [labels, this.#reader.of(thread, definition.slot)]
      }
      return
    }
    for (const [labels, slot] of labelSlots(definition)) yield [labels, this.#reader.total(slot)]
  }

  #addHistogram(definition: MetricDefinition): void {
    const histogram = new SlotHistogram(this.#reader, definition)
    this.#registry.registerMetric(histogram)
  }
}

interface HistogramSample {
  readonly metricName: string
  readonly labels: Record<string, string | number>
  readonly value: number
}

/** A histogram whose buckets are read, not observed. */
class SlotHistogram extends Histogram {
  readonly #reader: MetricsReader
  readonly #definition: MetricDefinition

  constructor(reader: MetricsReader, definition: MetricDefinition) {
    super({
      name: metricPrefix + definition.name,
      help: definition.help,
      labelNames: labelNames(definition),
      buckets: [...bucketSeconds],
      registers: [],
    })
    this.#reader = reader
    this.#definition = definition
  }

  /** What prom-client's registry asks of a Histogram, and what its `get` is made of; missing from its types. */
  async getForPromString() {
    const { name, help, type } = this.#definition
    return { name: metricPrefix + name, help, type, values: this.#values(), aggregator: 'sum' }
  }

  #values(): HistogramSample[] {
    const name = metricPrefix + this.#definition.name
    const values: HistogramSample[] = []
    for (const [labels, slot] of labelSlots(this.#definition)) {
      let count = 0
      for (let bucket = 0; bucket <= bucketSeconds.length; bucket++) {
        count += this.#reader.total(slot + bucket)
        const le = bucket < bucketSeconds.length ? bucketSeconds[bucket] : '+Inf'
        values.push({ metricName: `${name}_bucket`, labels: { ...labels, le }, value: count })
      }
      const sum = this.#reader.total(slot + bucketSeconds.length + 1)
      values.push({ metricName: `${name}_sum`, labels, value: sum })
      values.push({ metricName: `${name}_count`, labels, value: count })
    }
    return values
  }
}

function labelNames(definition: MetricDefinition): string[] {
  if (definition.perThread) return ['thread']
  return definition.label ? [definition.label.name] : []
}

function* labelSlots(definition: MetricDefinition): Generator<[Labels, number]> {
  const { label, slot, slotsPerLabel } = definition
  if (label === undefined) {
    yield [{}, slot]
    return
  }
  for (const [index, value] of label.values.entries()) {
    yield [{ [label.name]: value }, slot + index * slotsPerLabel]
  }
}

/** Names of groups are not known before somebody asks, so this one has no slots. */
function addGroupLags(registry: Registry, groupLags: HttpServices['groups']['lags']): void {
  const gauge = new Gauge({
    name: `${metricPrefix}group_lag_records`,
    help: 'Records that a group has not committed yet, over all its partitions',
    labelNames: ['group'],
    registers: [registry],
    collect() {
      gauge.reset()
      // Added up, for a group may have the name of the rest (bound-labels.ts).
      for (const [group, records] of groupLags()) gauge.inc({ group }, records)
    },
  })
}

/** Of the whole process, under the names that Prometheus clients of all languages use. */
function addProcessMetrics(registry: Registry, version: string): void {
  const registers = [registry]
  const info = new Gauge({
    name: `${metricPrefix}build_info`,
    help: 'Always 1; the labels say which version runs',
    labelNames: ['version', 'node'],
    registers,
  })
  info.set({ version, node: process.version }, 1)
  const start = new Gauge({
    name: 'process_start_time_seconds',
    help: 'When the process started, seconds since 1970',
    registers,
  })
  start.set(performance.timeOrigin / 1000)
  const memory = new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process in RAM, arenas included',
    registers,
    collect() {
      memory.set(process.memoryUsage.rss())
    },
  })
  const cpu = new Counter({
    name: 'process_cpu_seconds_total',
    help: 'CPU time of the process, all threads, user and system',
    registers,
    collect() {
      const { user, system } = process.cpuUsage()
      cpu.reset()
      cpu.inc((user + system) / 1_000_000)
    },
  })
}
