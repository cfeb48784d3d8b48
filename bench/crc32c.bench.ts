/**
 * CRC-32C over shared memory: the table in JavaScript against the native code, by size. Shows where the switch in
 * src/protocol/crc32c.ts belongs (256 bytes) and what the native call costs.
 *
 *   npm run bench -- crc32c [seconds per line, 0.3]
 */
import { createRequire } from 'node:module'
import table from 'crc-32/crc32c.js'
import { Bench } from 'tinybench'
import { crc32c } from '../src/protocol/crc32c.ts'

type Crc = (bytes: Uint8Array, init: number) => number

const { crc32c: native } = createRequire(import.meta.url)('@node-rs/crc32') as { crc32c: Crc }
const inTable: Crc = (bytes, init) => table.buf(bytes, init) >>> 0
const ways: Record<string, Crc> = { broker: crc32c, native, table: inTable }

/** A batch of one 200-byte record is 269 bytes, of 50 about 10 KiB, of 1,000 about 206 KiB. */
const sizes = [64, 128, 192, 256, 320, 512, 1024, 10 * 1024, 206 * 1024]
/** One call is too short for the clock. */
const callsPerSample = 50

const shared = Buffer.from(new SharedArrayBuffer(sizes.at(-1)!))
for (let at = 0; at < shared.length; at++) shared[at] = (at * 31) & 0xff

const bench = new Bench({ time: Number(process.argv[2] ?? 0.3) * 1000, warmupTime: 50 })
let kept = 0
for (const size of sizes) {
  const bytes = shared.subarray(0, size)
  for (const [name, crc] of Object.entries(ways)) {
    if (crc(bytes, 0) !== native(bytes, 0)) throw new Error(`${name}: wrong CRC at ${size} bytes`)
    bench.add(`${name} ${size}`, () => {
      for (let call = 0; call < callsPerSample; call++) kept ^= crc(bytes, 0)
    })
  }
}
await bench.run()

const medianNs = new Map(
  bench.tasks.map(({ name, result }) => [
    name,
    'latency' in result ? (result.latency.p50 * 1e6) / callsPerSample : Number.NaN,
  ]),
)
const rows = sizes.map(size => {
  const [broker, fast, slow] = ['broker', 'native', 'table'].map(
    way => medianNs.get(`${way} ${size}`)!,
  )
  return {
    bytes: size,
    'table, ns': Math.round(slow!),
    'native, ns': Math.round(fast!),
    'broker, ns': Math.round(broker!),
    'broker, GB/s': (size / broker!).toFixed(2),
  }
})
console.table(rows)
if (!Number.isInteger(kept)) throw new Error('nothing was computed')
