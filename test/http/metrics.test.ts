import { readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Worker } from 'node:worker_threads'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  bucketSeconds,
  labelled,
  Metric,
  type MetricKey,
  MetricsReader,
  metricDefinitions,
  requestsOf,
  ThreadMetrics,
} from '../../src/metrics.ts'
import { metricRows } from '../../src/metrics-table.ts'
import { makeServices, startTestHttp } from './http-fixture.ts'
import { type Family, parsePrometheus } from './prometheus-text.ts'

function makeMetrics(threads: number) {
  const memory = new SharedArrayBuffer(ThreadMetrics.bytesFor(threads))
  const writers = Array.from({ length: threads }, (_, i) => new ThreadMetrics(memory, i))
  return { memory, writers, reader: new MetricsReader(memory) }
}

/** Every slot that can be written with add or set. */
const plainIds = metricDefinitions
  .filter(({ type }) => type !== 'histogram')
  .flatMap(({ slot, label }) => Array.from(label?.values ?? [''], (_, i) => slot + i))

describe('slots', () => {
  test('threads never touch each other, whatever they add, set or observe', () => {
    const operation = fc.record({
      thread: fc.nat(2),
      what: fc.constantFrom('add', 'set', 'observe'),
      index: fc.nat(plainIds.length - 1),
      n: fc.integer({ min: 0, max: 2 ** 40 }),
    })
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 200 }), operations => {
        const { writers, reader } = makeMetrics(3)
        const model = new Map<string, number>()
        const observed = [0, 0, 0]
        for (const { thread, what, index, n } of operations) {
          const id = plainIds[index]
          const key = `${thread}/${id}`
          if (what === 'add') {
            writers[thread].add(id, n)
            model.set(key, (model.get(key) ?? 0) + n)
          } else if (what === 'set') {
            writers[thread].set(id, n)
            model.set(key, n)
          } else {
            writers[thread].observe(Metric.flushSeconds, n / 2 ** 38)
            observed[thread]++
          }
        }
        for (const id of plainIds) {
          const values = [0, 1, 2].map(thread => model.get(`${thread}/${id}`) ?? 0)
          expect(writers.map(writer => writer.get(id))).toEqual(values)
          expect(reader.total(id)).toBe(values[0] + values[1] + values[2])
        }
        for (const thread of [0, 1, 2]) {
          let count = 0
          for (let bucket = 0; bucket <= bucketSeconds.length; bucket++) {
            count += reader.of(thread, Metric.flushSeconds + bucket)
          }
          expect(count).toBe(observed[thread])
        }
      }),
      { numRuns: 50 },
    )
  })

  test('what another thread adds is seen here', async () => {
    const { memory, reader } = makeMetrics(2)
    const url = new URL('../../src/metrics.ts', import.meta.url).href
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads')
       import(workerData.url).then(({ ThreadMetrics, Metric }) => {
         const metrics = new ThreadMetrics(workerData.memory, 1)
         for (let i = 0; i < 100000; i++) metrics.add(Metric.appends, 3)
       })`,
      { eval: true, workerData: { url, memory } },
    )
    await new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))
    expect(reader.total(Metric.appends)).toBe(300_000)
    expect(reader.of(1, Metric.appends)).toBe(300_000)
  })

  test('a replaced thread keeps counters and clears gauges', () => {
    const { writers } = makeMetrics(2)
    for (const writer of writers) {
      for (const id of plainIds) writer.set(id, 7)
      writer.observe(Metric.flushSeconds, 0.2)
    }
    writers[1].clearGauges()
    for (const { type, slot, label } of metricDefinitions) {
      if (type === 'histogram') continue
      for (let i = 0; i < (label?.values.length ?? 1); i++) {
        expect(writers[0].get(slot + i)).toBe(7)
        expect(writers[1].get(slot + i)).toBe(type === 'gauge' ? 0 : 7)
      }
    }
  })

  test('a thread outside of the memory is refused', () => {
    const memory = new SharedArrayBuffer(ThreadMetrics.bytesFor(2))
    expect(() => new ThreadMetrics(memory, 2)).toThrow()
    expect(() => new MetricsReader(new SharedArrayBuffer(100))).toThrow()
  })

  test('every API key counts somewhere, unknown ones together', () => {
    const named = new Set([requestsOf(0), requestsOf(1), requestsOf(60)])
    expect(named.size).toBe(3)
    const other = labelled('requests', 'other')
    for (const apiKey of [-32768, -1, 4, 7, 1000, 32767]) expect(requestsOf(apiKey)).toBe(other)
    expect(requestsOf(18)).toBe(labelled('requests', 'ApiVersions'))
    expect(named.has(other)).toBe(false)
  })
})

/** Reads /metrics of a listener over `memory`. */
async function scrape(memory: SharedArrayBuffer): Promise<Map<string, Family>> {
  const { url } = await startTestHttp(makeServices({ metricsMemory: memory }))
  const answer = await fetch(`${url}/metrics`)
  expect(answer.status).toBe(200)
  expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parsePrometheus(await answer.text())
}

function sampleValue(
  families: Map<string, Family>,
  name: string,
  labels: Record<string, string> = {},
) {
  const wanted = new Map(Object.entries(labels))
  for (const family of families.values()) {
    for (const sample of family.samples) {
      if (sample.name === name && isDeepStrictEqual(sample.labels, wanted)) return sample.value
    }
  }
  throw new Error(`no sample ${name} ${JSON.stringify(labels)}`)
}

describe('/metrics', () => {
  test('every metric has its own value, summed over threads or by thread', async () => {
    const { memory, writers } = makeMetrics(3)
    for (const [thread, writer] of writers.entries()) {
      for (const id of plainIds) writer.set(id, id * 1000 + thread)
    }
    const families = await scrape(memory)
    for (const definition of metricDefinitions.filter(({ type }) => type !== 'histogram')) {
      const name = `odradek_${definition.name}`
      expect(families.get(name)).toMatchObject({ type: definition.type, help: definition.help })
      if (definition.perThread) {
        const names = ['dispatcher', 'owner-0', 'owner-1']
        for (const [thread, label] of names.entries()) {
          const value = sampleValue(families, name, { thread: label })
          expect(value).toBe(definition.slot * 1000 + thread)
        }
        continue
      }
      for (const [i, value] of (definition.label?.values ?? ['']).entries()) {
        const labels = definition.label ? { [definition.label.name]: value } : {}
        const sum = (definition.slot + i) * 3000 + 3
        expect([name, sampleValue(families, name, labels)]).toEqual([name, sum])
      }
    }
  })

  test('histograms are cumulative, over all threads', async () => {
    const { memory, writers } = makeMetrics(2)
    // Binary fractions, so that their sum is exact in any order.
    const seconds = [0, 2 ** -20, 2 ** -14, 0.125, 0.5, 1, 4, 10, 64, 1024]
    const fetchSeconds = labelled('requestSeconds', 'Fetch')
    for (const [i, value] of seconds.entries()) writers[i % 2].observe(fetchSeconds, value)
    const families = await scrape(memory)
    const name = 'odradek_request_seconds'
    for (const bound of bucketSeconds) {
      const expected = seconds.filter(value => value <= bound).length
      const labels = { api: 'Fetch', le: String(bound) }
      expect([bound, sampleValue(families, `${name}_bucket`, labels)]).toEqual([bound, expected])
    }
    expect(sampleValue(families, `${name}_bucket`, { api: 'Fetch', le: '+Inf' })).toBe(
      seconds.length,
    )
    expect(sampleValue(families, `${name}_count`, { api: 'Fetch' })).toBe(seconds.length)
    const sum = seconds.reduce((total, value) => total + value, 0)
    expect(sampleValue(families, `${name}_sum`, { api: 'Fetch' })).toBe(sum)
    expect(sampleValue(families, `${name}_count`, { api: 'Produce' })).toBe(0)
  })

  test('a second scrape shows what happened since, and counters do not add up twice', async () => {
    const services = makeServices()
    const { url } = await startTestHttp(services)
    services.metrics.add(Metric.bytesIn, 5)
    const first = parsePrometheus(await (await fetch(`${url}/metrics`)).text())
    services.metrics.add(Metric.bytesIn, 2)
    const second = parsePrometheus(await (await fetch(`${url}/metrics`)).text())
    expect(sampleValue(first, 'odradek_bytes_in_total')).toBe(5)
    expect(sampleValue(second, 'odradek_bytes_in_total')).toBe(7)
    expect(services.state.refreshes).toBe(2)
  })

  test('the process speaks for itself', async () => {
    const families = await scrape(makeMetrics(1).memory)
    const labels = { version: '1.2.3', node: process.version }
    expect(sampleValue(families, 'odradek_build_info', labels)).toBe(1)
    expect(sampleValue(families, 'process_resident_memory_bytes')).toBeGreaterThan(1024 * 1024)
    expect(sampleValue(families, 'process_cpu_seconds_total')).toBeGreaterThan(0)
    const start = sampleValue(families, 'process_start_time_seconds')
    expect(start).toBeGreaterThan(1.7e9)
    expect(start).toBeLessThanOrEqual(Date.now() / 1000)
  })
})

describe('documentation', () => {
  test('docs/metrics.md names every metric with its type and labels, and no other', async () => {
    const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
    const documented = new Map<string, string>()
    for (const line of text.split('\n')) {
      const cells = line.split('|').map(cell => cell.trim())
      const name = /^`([a-z_]+)`$/.exec(cells[1] ?? '')?.[1]
      if (name === undefined) continue
      expect(cells).toHaveLength(7)
      const [, , type, unit, labels, meaning] = cells
      expect([name, unit.length > 0, meaning.length > 10]).toEqual([name, true, true])
      documented.set(name, `${type} ${labels}`)
    }
    const served = new Map<string, string>()
    for (const family of (await scrape(makeMetrics(1).memory)).values()) {
      const labels = new Set(family.samples.flatMap(sample => [...sample.labels.keys()]))
      labels.delete('le')
      const cell = labels.size === 0 ? '-' : [...labels].map(label => `\`${label}\``).join(', ')
      served.set(family.name, `${family.type} ${cell}`)
    }
    expect(documented).toEqual(served)
  })

  test('names follow the conventions of Prometheus', () => {
    const keys = Object.keys(metricRows) as MetricKey[]
    for (const key of keys) {
      const { name, type, help }: { name: string; type: string; help: string } = metricRows[key]
      expect(name).toMatch(/^[a-z]+(_[a-z]+)*$/)
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
      expect(help).not.toMatch(/\.$/)
    }
    const names = keys.map(key => metricRows[key].name)
    expect(new Set(names).size).toBe(names.length)
  })
})
