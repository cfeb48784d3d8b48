/** Which partition a record without a named one goes to. Same answers as Kafka's Java clients for keyed records. */

/** Chooses a partition from the key's bytes and the number of partitions of the topic. */
export type Partitioner = (key: Uint8Array, partitionCount: number) => number

/** Kafka's default for keyed records: the positive part of murmur2 (seed 0x9747b28c), modulo the partitions. */
export function murmur2Partitioner(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fffffff) % partitionCount
}

/** Austin Appleby's MurmurHash2, 32 bits, as org.apache.kafka.common.utils.Utils has it. Signed result. */
export function murmur2(bytes: Uint8Array): number {
  const m = 0x5bd1e995
  const length = bytes.length
  let hash = 0x9747b28c ^ length
  let pos = 0
  for (; pos + 4 <= length; pos += 4) {
    let k = bytes[pos] | (bytes[pos + 1] << 8) | (bytes[pos + 2] << 16) | (bytes[pos + 3] << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    hash = Math.imul(hash, m) ^ Math.imul(k, m)
  }
  const left = length - pos
  if (left === 3) hash ^= bytes[pos + 2] << 16
  if (left >= 2) hash ^= bytes[pos + 1] << 8
  if (left >= 1) hash = Math.imul(hash ^ bytes[pos], m)
  hash ^= hash >>> 13
  hash = Math.imul(hash, m)
  return hash ^ (hash >>> 15)
}
