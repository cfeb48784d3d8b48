/**
 * Compiled codecs against readers written by hand, the gate of STYLE.md section 5: compiled must take at most 1.3 times
 * as long. Run: node bench/codec.bench.ts [seconds per case]. Frames lie in shared memory, as in the broker.
 */

import { Bench } from 'tinybench'
import { Reader, Writer } from '../src/protocol/bytes.ts'
import { codec } from '../src/protocol/compile.ts'
import { fetchRequestFor, fetchTopic } from '../src/protocol/fetch-request.ts'
import { Fetch } from '../src/protocol/messages/fetch.ts'
import { Produce } from '../src/protocol/messages/produce.ts'
import { encodeBatch } from '../src/protocol/record-batch.ts'
import type { ApiSchema, RequestOf, ResponseOf } from '../src/protocol/schema.ts'
import { readFetchByHand, readProduceByHand } from './codec-by-hand.ts'

const arena = Buffer.from(new SharedArrayBuffer(1 << 20))
let arenaUsed = 4096

/** Puts a request into the arena and returns its place. */
function inArena<Req>(api: ApiSchema<Req, unknown>, version: number, message: Req) {
  const w = new Writer()
  w.begin()
  codec(api, version).request.write(w, message)
  const bytes = Buffer.concat(w.end()).subarray(4)
  const start = arenaUsed
  arena.set(bytes, start)
  arenaUsed += bytes.length + 100
  return { start, end: start + bytes.length }
}

const batch = encodeBatch({ records: [{ key: null, value: Buffer.alloc(200, 'x') }] })

function produceRequest(topics: number, partitions: number): RequestOf<typeof Produce> {
  const partitionData = Array.from({ length: partitions }, (_, index) => ({
    index,
    records: batch,
  }))
  return {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: Array.from({ length: topics }, (_, i) => ({ name: `orders-${i}`, partitionData })),
  }
}

function fetchRequest(topics: number, partitions: number): RequestOf<typeof Fetch> {
  const wishes = Array.from({ length: partitions }, (_, partition) => ({
    partition,
    fetchOffset: 1000 + partition,
    maxBytes: 1_048_576,
    currentLeaderEpoch: 0,
  }))
  const all = Array.from({ length: topics }, (_, i) => fetchTopic(`orders-${i}`, wishes))
  return fetchRequestFor({ maxWaitMs: 500, minBytes: 1, maxBytes: 52_428_800 }, all)
}

const produceResponse: ResponseOf<typeof Produce> = {
  responses: [
    {
      name: 'orders-0',
      partitionResponses: [
        {
          index: 0,
          errorCode: 0,
          baseOffset: 123_456,
          logAppendTimeMs: -1,
          logStartOffset: 0,
          recordErrors: [],
          errorMessage: null,
          currentLeader: null,
        },
      ],
    },
  ],
  throttleTimeMs: 0,
  nodeEndpoints: [],
}

/** Calls per timing: one call is too short for the clock. */
const callsPerSample = 100

const bench = new Bench({ time: Number(process.argv[2] ?? 1) * 1000, warmupTime: 300 })
let kept: unknown
function add(name: string, call: () => unknown): void {
  bench.add(name, () => {
    for (let i = 0; i < callsPerSample; i++) kept = call()
  })
}

const r = new Reader(arena)
const readProduce = (at: { start: number; end: number }) =>
  codec(Produce, 9).request.read(r.reset(arena, at.start, at.end))
const readFetch = (at: { start: number; end: number }) =>
  codec(Fetch, 12).request.read(r.reset(arena, at.start, at.end))

for (const [topics, partitions] of [
  [1, 1],
  [1, 8],
  [10, 10],
] as const) {
  const size = `${topics} x ${partitions}`
  const produce = inArena(Produce, 9, produceRequest(topics, partitions))
  add(`produce v9 ${size} by hand`, () => readProduceByHand(arena, produce.start, produce.end))
  add(`produce v9 ${size} compiled`, () => readProduce(produce))
  const fetch = inArena(Fetch, 12, fetchRequest(topics, partitions))
  add(`fetch v12 ${size} by hand`, () => readFetchByHand(arena, fetch.start, fetch.end))
  add(`fetch v12 ${size} compiled`, () => readFetch(fetch))
}
const w = new Writer()
add('produce v9 response, written', () => {
  w.begin()
  codec(Produce, 9).response.write(w, produceResponse)
  return w.end()
})

await bench.run()
const medianNs = new Map(
  bench.tasks.map(({ name, result }) => [
    name,
    'latency' in result ? (result.latency.p50 * 1e6) / callsPerSample : Number.NaN,
  ]),
)
const rows = [...medianNs]
  .filter(([name]) => !name.endsWith('by hand'))
  .map(([name, ns]) => {
    const byHandNs = medianNs.get(name.replace('compiled', 'by hand'))
    const isCompared = name.endsWith('compiled')
    return {
      case: name,
      'ns, median': Math.round(ns),
      'by hand': isCompared ? Math.round(byHandNs!) : '',
      ratio: isCompared ? (ns / byHandNs!).toFixed(2) : '',
    }
  })
console.table(rows)
if (kept === undefined) throw new Error('nothing was read')
