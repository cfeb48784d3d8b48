/**
 * The hot path's reading of one request head: pure, bytes in, verdict out. Any thread.
 *
 *   POST /topics/{t}[/partitions/{p}][?acks=all|1|0] HTTP/1.1
 *   Host, Content-Length, Content-Type: each exactly once; others only from a short list
 *
 * A strict subset of HTTP/1.1, in which no two parsers can disagree: CRLF only, no folding, no tab and no byte outside
 * printable ASCII, one way to say how long the body is. Whatever is not plainly in it is handed over to node's own
 * parser, which answers it, good or bad: there is no error answer here. A verdict, once given, never changes as more
 * bytes come, and `incomplete` is given only while both are still possible.
 */

/** More bytes are needed. */
export const incomplete = 0
/** Not in the subset. */
export const handOver = -1

/** Larger heads are handed over, also when they are good. */
export const headBytesMax = 4096
/** Larger bodies are handed over: they do not gain by a fast head. */
export const bodyBytesMax = 1024 * 1024
const headersMax = 32
/** Of a topic name; Kafka's limit. */
const topicCharsMax = 249

/** What a body holds. */
export const BodyKind = { record: 0, ndjson: 1, lines: 2 } as const

/** What a good head says. Positions count from its first byte. */
export class Head {
  topicStart = 0
  topicEnd = 0
  /** -1 when the path names none. */
  partition = -1
  acks: 0 | 1 | -1 = -1
  /** One of `BodyKind`; -1 while it is not known. */
  kind = -1
  /** -1 while it is not known. */
  bodyBytes = -1
  hostStart = -1
  hostEnd = -1

  clear(): void {
    this.partition = -1
    this.acks = -1
    this.kind = -1
    this.bodyBytes = -1
    this.hostStart = -1
  }
}

const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'))

const requestStart = bytesOf('POST /topics/')
const partitionsPart = bytesOf('partitions/')
const acksPart = bytesOf('acks=')
const all = bytesOf('all')
const version = bytesOf('HTTP/1.1\r\n')
const keepAlive = bytesOf('keep-alive')

const contentTypes: readonly (readonly [kind: number, value: Uint8Array])[] = [
  [BodyKind.record, bytesOf('application/octet-stream')],
  [BodyKind.ndjson, bytesOf('application/x-ndjson')],
  [BodyKind.lines, bytesOf('text/plain; format=lines')],
  [BodyKind.lines, bytesOf('text/plain;format=lines')],
]

const Field = { host: 1, length: 2, type: 3, connection: 4, ignored: 5 } as const

/** Headers that mean nothing to a produce request, which the common clients send all the same, and those that do. */
const fields = new Map<string, number>([
  ['host', Field.host],
  ['content-length', Field.length],
  ['content-type', Field.type],
  ['connection', Field.connection],
  ['user-agent', Field.ignored],
  ['accept', Field.ignored],
  ['accept-encoding', Field.ignored],
  ['accept-language', Field.ignored],
  ['cache-control', Field.ignored],
  ['pragma', Field.ignored],
  ['dnt', Field.ignored],
  ['priority', Field.ignored],
  ['sec-fetch-mode', Field.ignored],
  ['traceparent', Field.ignored],
  ['tracestate', Field.ignored],
  ['x-request-id', Field.ignored],
])

interface FieldName {
  readonly name: Uint8Array
  readonly field: number
}
const fieldsByLength: FieldName[][] = []
for (const [name, field] of fields) {
  fieldsByLength[name.length] ??= []
  fieldsByLength[name.length].push({ name: bytesOf(name), field })
}
const nameCharsMax = fieldsByLength.length - 1

const CR = 0x0d
const LF = 0x0a
const space = 0x20
const colon = 0x3a
const dot = 0x2e
const slash = 0x2f
const questionMark = 0x3f
const zero = 0x30

/** By byte: 1 in a topic name, 2 in the name of a header that is known. */
const charClass = new Uint8Array(256)
const topicChar = 1
const nameChar = 2
for (let byte = 0; byte < 256; byte++) {
  const char = String.fromCharCode(byte)
  if (/[a-zA-Z0-9._-]/.test(char)) charClass[byte] |= topicChar
  if (/[a-zA-Z-]/.test(char)) charClass[byte] |= nameChar
}

/**
 * Reads the head that begins at `start`; bytes from `end` on are not there yet.
 * @returns its length, in which case `head` is filled; or `incomplete`, or `handOver`
 */
export function parseHead(bytes: Uint8Array, start: number, end: number, head: Head): number {
  const verdict = parseWithin(bytes, start, Math.min(end, start + headBytesMax), head)
  if (verdict !== incomplete) return verdict
  return end - start >= headBytesMax ? handOver : incomplete
}

function parseWithin(bytes: Uint8Array, start: number, end: number, head: Head): number {
  head.clear()
  let pos = requestLine(bytes, start, end, head)
  for (let count = 0; pos > 0; count++) {
    if (pos === end) return incomplete
    if (bytes[pos] === CR) return lastLine(bytes, pos, end, start, head)
    if (count === headersMax) return handOver
    pos = headerLine(bytes, pos, end, start, head)
  }
  return pos
}

/** The empty line; everything that must be said has been said by then. */
function lastLine(bytes: Uint8Array, pos: number, end: number, start: number, head: Head): number {
  if (head.hostStart < 0 || head.kind < 0 || head.bodyBytes < 0) return handOver
  if (pos + 1 === end) return incomplete
  return bytes[pos + 1] === LF ? pos + 2 - start : handOver
}

/** Each of these returns the position behind what it read (never 0), `incomplete` or `handOver`. */
function requestLine(bytes: Uint8Array, start: number, end: number, head: Head): number {
  let pos = expect(bytes, start, end, requestStart)
  if (pos <= 0) return pos
  head.topicStart = pos - start
  // Dots are for whoever normalizes paths.
  if (pos < end && bytes[pos] === dot) return handOver
  const limit = pos + topicCharsMax
  while (pos < end && pos <= limit && (charClass[bytes[pos]] & topicChar) !== 0) pos++
  head.topicEnd = pos - start
  if (head.topicEnd === head.topicStart && pos < end) return handOver
  if (pos > limit) return handOver
  if (pos === end) return incomplete
  if (bytes[pos] === slash) pos = partitionPart(bytes, pos + 1, end, head)
  if (pos <= 0) return pos
  if (pos === end) return incomplete
  if (bytes[pos] === questionMark) pos = query(bytes, pos + 1, end, head)
  if (pos <= 0) return pos
  if (pos === end) return incomplete
  return bytes[pos] === space ? expect(bytes, pos + 1, end, version) : handOver
}

function partitionPart(bytes: Uint8Array, start: number, end: number, head: Head): number {
  const pos = expect(bytes, start, end, partitionsPart)
  if (pos <= 0) return pos
  if (pos === end) return incomplete
  const digits = digitCount(bytes, pos, end)
  head.partition = decimal(bytes, pos, digits)
  return head.partition < 0 ? handOver : pos + digits
}

function query(bytes: Uint8Array, start: number, end: number, head: Head): number {
  const pos = expect(bytes, start, end, acksPart)
  if (pos <= 0) return pos
  if (pos === end) return incomplete
  const first = bytes[pos]
  if (first !== zero && first !== zero + 1) return expect(bytes, pos, end, all)
  head.acks = first === zero ? 0 : 1
  return pos + 1
}

function headerLine(
  bytes: Uint8Array,
  start: number,
  end: number,
  headStart: number,
  head: Head,
): number {
  let pos = start
  const limit = start + nameCharsMax
  while (pos < end && pos <= limit && (charClass[bytes[pos]] & nameChar) !== 0) pos++
  if (pos > limit) return handOver
  if (pos === end) return incomplete
  if (bytes[pos] !== colon) return handOver
  const field = fieldOf(bytes, start, pos)
  if (field === 0) return handOver
  pos++
  while (pos < end && bytes[pos] === space) pos++
  const valueStart = pos
  while (pos < end && bytes[pos] >= space && bytes[pos] <= 0x7e) pos++
  if (pos === end) return incomplete
  if (bytes[pos] !== CR) return handOver
  if (field !== Field.ignored && !takeField(field, bytes, valueStart, pos, headStart, head)) {
    return handOver
  }
  if (pos + 1 === end) return incomplete
  return bytes[pos + 1] === LF ? pos + 2 : handOver
}

/** One of `Field`, 0 for a header that is not known. */
function fieldOf(bytes: Uint8Array, start: number, end: number): number {
  const candidates = fieldsByLength[end - start]
  if (candidates === undefined) return 0
  for (let i = 0; i < candidates.length; i++) {
    const { name, field } = candidates[i]
    if (equalsIgnoringCase(bytes, start, end, name)) return field
  }
  return 0
}

/** False: said twice, or not in the plain way. */
function takeField(
  field: number,
  bytes: Uint8Array,
  start: number,
  end: number,
  headStart: number,
  head: Head,
): boolean {
  if (start === end || bytes[end - 1] === space) return false
  if (field === Field.host) {
    if (head.hostStart >= 0) return false
    head.hostStart = start - headStart
    head.hostEnd = end - headStart
    return true
  }
  if (field === Field.length) {
    if (head.bodyBytes >= 0) return false
    head.bodyBytes = decimal(bytes, start, end - start)
    return head.bodyBytes > 0 && head.bodyBytes <= bodyBytesMax
  }
  if (field === Field.connection) return equalsIgnoringCase(bytes, start, end, keepAlive)
  if (head.kind >= 0) return false
  head.kind = kindOf(bytes, start, end)
  return head.kind >= 0
}

function kindOf(bytes: Uint8Array, start: number, end: number): number {
  for (let i = 0; i < contentTypes.length; i++) {
    const [kind, value] = contentTypes[i]
    if (equalsIgnoringCase(bytes, start, end, value)) return kind
  }
  return -1
}

function expect(bytes: Uint8Array, start: number, end: number, literal: Uint8Array): number {
  for (let i = 0; i < literal.length; i++) {
    if (start + i === end) return incomplete
    if (bytes[start + i] !== literal[i]) return handOver
  }
  return start + literal.length
}

/** @param lowerCase letters, digits and punctuation above 0x1f, without `@[\]^_` and backtick */
function equalsIgnoringCase(
  bytes: Uint8Array,
  start: number,
  end: number,
  lowerCase: Uint8Array,
): boolean {
  if (end - start !== lowerCase.length) return false
  for (let i = 0; i < lowerCase.length; i++) {
    const expected = lowerCase[i]
    const byte = bytes[start + i]
    if (byte === expected) continue
    const isLetter = expected >= 0x61 && expected <= 0x7a
    if (!isLetter || (byte | 0x20) !== expected) return false
  }
  return true
}

function digitCount(bytes: Uint8Array, start: number, end: number): number {
  let pos = start
  while (pos < end && bytes[pos] >= zero && bytes[pos] <= zero + 9) pos++
  return pos - start
}

/** A number of up to seven digits that does not begin with a zero, unless it is 0; -1 for anything else. */
function decimal(bytes: Uint8Array, start: number, length: number): number {
  if (length === 0 || length > 7) return -1
  if (length > 1 && bytes[start] === zero) return -1
  let value = 0
  for (let i = 0; i < length; i++) {
    const digit = bytes[start + i] - zero
    if (digit < 0 || digit > 9) return -1
    value = value * 10 + digit
  }
  return value
}
