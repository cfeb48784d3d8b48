/**
 * Produce v9 and Fetch v12 requests read by hand: what a careful person would write for these two versions alone,
 * bounds checked, no schema. Only codec.bench.ts uses it.
 */
let bytes: Buffer
let view: DataView = new DataView(new ArrayBuffer(0))
let pos = 0
let end = 0

function take(size: number): number {
  const start = pos
  if (size < 0 || size > end - start) throw new RangeError('truncated')
  pos = start + size
  return start
}
function uvarint(): number {
  let value = 0
  for (let shift = 0; shift < 35; shift += 7) {
    const byte = bytes[take(1)]
    value |= (byte & 0x7f) << shift
    if (byte < 0x80) return value >>> 0
  }
  throw new RangeError('varint')
}
function int64(): number {
  const at = take(8)
  return view.getInt32(at) * 0x1_0000_0000 + view.getUint32(at + 4)
}
function text(size: number): string {
  const start = take(size)
  return (bytes as Buffer & { utf8Slice(start: number, end: number): string }).utf8Slice(start, pos)
}
function count(elementBytesMin: number): number {
  const items = uvarint() - 1
  if (items < 0 || items * elementBytesMin > end - pos) throw new RangeError('array')
  return items
}
function skipTags(): void {
  for (let left = uvarint(); left > 0; left--) {
    uvarint()
    take(uvarint())
  }
}
function start(source: Buffer, from: number, to: number): void {
  if (bytes !== source) {
    bytes = source
    view = new DataView(source.buffer, source.byteOffset, source.length)
  }
  pos = from
  end = to
}

export function readProduceByHand(source: Buffer, from: number, to: number): unknown {
  start(source, from, to)
  const idBytes = uvarint()
  const transactionalId = idBytes === 0 ? null : text(idBytes - 1)
  const acks = view.getInt16(take(2))
  const timeoutMs = view.getInt32(take(4))
  const topicData = []
  for (let topics = count(3); topics > 0; topics--) {
    const name = text(uvarint() - 1)
    const partitionData = []
    for (let partitions = count(6); partitions > 0; partitions--) {
      const index = view.getInt32(take(4))
      const recordBytes = uvarint()
      let records: Buffer | null = null
      if (recordBytes > 0) {
        const at = take(recordBytes - 1)
        records = bytes.subarray(at, pos)
      }
      skipTags()
      partitionData.push({ index, records })
    }
    skipTags()
    topicData.push({ name, partitionData })
  }
  skipTags()
  return { transactionalId, acks, timeoutMs, topicData }
}

function fetchTopic(): unknown {
  const topic = text(uvarint() - 1)
  const partitions = []
  for (let left = count(33); left > 0; left--) {
    const partition = view.getInt32(take(4))
    const currentLeaderEpoch = view.getInt32(take(4))
    const fetchOffset = int64()
    const lastFetchedEpoch = view.getInt32(take(4))
    const logStartOffset = int64()
    const partitionMaxBytes = view.getInt32(take(4))
    skipTags()
    partitions.push({
      partition,
      currentLeaderEpoch,
      fetchOffset,
      lastFetchedEpoch,
      logStartOffset,
      partitionMaxBytes,
    })
  }
  skipTags()
  return { topic, partitions }
}

export function readFetchByHand(source: Buffer, from: number, to: number): unknown {
  start(source, from, to)
  const replicaId = view.getInt32(take(4))
  const maxWaitMs = view.getInt32(take(4))
  const minBytes = view.getInt32(take(4))
  const maxBytes = view.getInt32(take(4))
  const isolationLevel = view.getInt8(take(1))
  const sessionId = view.getInt32(take(4))
  const sessionEpoch = view.getInt32(take(4))
  const topics = []
  for (let left = count(3); left > 0; left--) topics.push(fetchTopic())
  const forgottenTopicsData = []
  for (let left = count(3); left > 0; left--) {
    const topic = text(uvarint() - 1)
    const partitions = []
    for (let inner = count(4); inner > 0; inner--) partitions.push(view.getInt32(take(4)))
    skipTags()
    forgottenTopicsData.push({ topic, partitions })
  }
  const rackId = text(uvarint() - 1)
  skipTags()
  return {
    clusterId: null,
    replicaId,
    maxWaitMs,
    minBytes,
    maxBytes,
    isolationLevel,
    sessionId,
    sessionEpoch,
    topics,
    forgottenTopicsData,
    rackId,
  }
}
