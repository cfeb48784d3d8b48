/**
 * Latencies of millions of requests in fixed memory: a histogram whose buckets grow by 2 %, from 1 µs to about 10 min.
 *
 *   bucket n holds   1 µs * 1.02^n  <=  latency  <  1 µs * 1.02^(n+1)
 */

const growth = Math.log(1.02)
const bucketCount = 1024

export class Latencies {
  readonly #counts = new Float64Array(bucketCount)
  #total = 0

  observe(milliseconds: number, count = 1): void {
    const bucket = Math.floor(Math.log(Math.max(milliseconds * 1000, 1)) / growth)
    this.#counts[Math.min(bucket, bucketCount - 1)]! += count
    this.#total += count
  }

  add(other: Latencies): void {
    for (let bucket = 0; bucket < bucketCount; bucket++) {
      this.#counts[bucket]! += other.#counts[bucket]!
    }
    this.#total += other.#total
  }

  reset(): void {
    this.#counts.fill(0)
    this.#total = 0
  }

  /** The middle of the bucket below which `share` (0..1) of all observations lie, in ms; NaN without observations. */
  percentileMs(share: number): number {
    if (this.#total === 0) return Number.NaN
    let seen = 0
    let bucket = 0
    while (bucket < bucketCount - 1) {
      seen += this.#counts[bucket]!
      if (seen > this.#total * share) break
      bucket++
    }
    return Math.exp((bucket + 0.5) * growth) / 1000
  }
}
