/**
 * The load generator of HTTP (see generator.ts): autocannon, told what to send and asked what came of it. By hand:
 *
 *   node src/load/http-generator.ts '{"mode":"produce","url":"http://127.0.0.1:8082","topic":"load","pipelining":10}'
 */
import { runGenerator } from './generator.ts'
import type { BodyKind } from './http-bodies.ts'
import { HttpLoad } from './http-load.ts'
import type { Acks, WindowSettings } from './load-window.ts'

export interface HttpLoadSettings extends WindowSettings {
  readonly mode: 'produce' | 'consume'
  /** Of the broker, as `http://127.0.0.1:8082`. */
  readonly url: string
  readonly topic: string
  readonly connectionCount: number
  /** Requests in flight on a connection; consuming has one, each pull begins where the last one ended. */
  readonly pipelining: number
  readonly bodyKind: BodyKind
  readonly recordsPerBatch: number
  readonly recordBytes: number
  readonly acks: Acks
  /** Consumed: each partition from offset 0 to its entry here, then over again. Empty ones are left out. */
  readonly endOffsets: readonly number[]
  /** `max_bytes` of a pull. */
  readonly pullBytes: number
  /** The Accept header of a pull. */
  readonly accept: string
}

const defaults: HttpLoadSettings = {
  mode: 'produce',
  url: 'http://127.0.0.1:8082',
  topic: 'load',
  connectionCount: 1,
  pipelining: 1,
  bodyKind: 'octet-stream',
  recordsPerBatch: 1,
  recordBytes: 200,
  acks: 1,
  endOffsets: [],
  pullBytes: 200_000,
  accept: 'application/x-ndjson',
  seconds: 5,
  warmupSeconds: 1,
  payloadBytesMax: 2e9,
  serverPid: 0,
  gcProbe: false,
  ballastDirectory: null,
}

if (import.meta.main) {
  await runGenerator(defaults, async (settings, window, totals) => [
    await HttpLoad.prepare(settings, window, totals),
  ])
}
