/**
 * The floor: the fastest simple server we know how to write on Node, to measure odradek against. One thread, one log
 * file: socket → CRC-32C check → base offset → fs.writeSync → reply. No index, flush, fetch or recovery; one partition.
 * `node bench/floor-server.ts DIR [gather]`: with `gather`, small batches of a read are copied into one write.
 */
import { openSync, writeSync } from 'node:fs'
import { type AddressInfo, createServer, Socket, type SocketConstructorOpts } from 'node:net'
import { Writer } from '../src/protocol/bytes.ts'
import { crc32c } from '../src/protocol/crc32c.ts'

const server = createServer({ pauseOnConnect: true }, serve).listen(0, '127.0.0.1')
server.on('listening', () => console.log('ready kafka=127.0.0.1:%d', port()))
const port = () => (server.address() as AddressInfo).port
const log = openSync(`${process.argv[2]}/floor.log`, 'w')
const [gathers, staging] = [process.argv[3] === 'gather', Buffer.allocUnsafeSlow(4 << 20)]
const writer = new Writer()
let replies = Buffer.allocUnsafeSlow(1 << 20)
let [stagedBytes, replyBytes, nextOffset] = [0, 0, 0]

/** Serves one connection. Node gives `onread` to clients only, so the accepted handle moves to a new socket. */
function serve(accepted: Socket): void {
  const { _handle: handle } = accepted as unknown as { _handle: unknown }
  const input = Buffer.allocUnsafeSlow(4 << 20)
  let end = 0
  const callback = (byteCount: number) => {
    let at = 0
    for (end += byteCount; end - at >= 4; ) {
      const frameEnd = at + 4 + input.readUInt32BE(at)
      if (frameEnd > end) break
      if (input.readInt16BE(at + 4) === 0) produce(input, at + 8)
      else replyBytes += answer(input.subarray(at, frameEnd)).copy(replies, replyBytes)
      at = frameEnd
    }
    stagedBytes = write(staging, 0, stagedBytes)
    if (replyBytes > 0) socket.write(replies.subarray(0, replyBytes))
    if (socket.writableLength > 0) replies = Buffer.allocUnsafeSlow(1 << 20)
    replyBytes = 0
    input.copyWithin(0, at, end)
    end -= at
    return true
  }
  const onread = { buffer: () => input.subarray(end), callback }
  const socket = new Socket({ handle, onread } as unknown as SocketConstructorOpts)
  socket.setNoDelay(true).on('error', () => socket.destroy())
}

/** Produce v3–v7 with one partition a request, as librdkafka sends it; `at` is the correlation id's position. */
function produce(input: Buffer, at: number): void {
  const correlationId = input.readInt32BE(at)
  at += 6 + Math.max(0, input.readInt16BE(at + 4)) // client id
  const topic = at + 12 + Math.max(0, input.readInt16BE(at)) // behind transactional id, acks, time-out
  const topicEnd = topic + 2 + input.readInt16BE(topic)
  const batch = topicEnd + 12
  const batchEnd = batch + input.readInt32BE(topicEnd + 8)
  const valid = crc32c(input.subarray(batch + 21, batchEnd)) === input.readUInt32BE(batch + 17)
  if (valid) append(input, batch, batchEnd)
  if (input.readInt16BE(topic - 10) === 0) return // acks
  const size = topicEnd - topic + 50
  let to = replies.writeInt32BE(size - 4, replyBytes)
  to = replies.writeInt32BE(1, replies.writeInt32BE(correlationId, to))
  to += input.copy(replies, to, topic, topicEnd + 8) // one partition, its index
  to = replies.writeInt16BE(valid ? 0 : 2, to)
  to += input.copy(replies, to, batch, batch + 8)
  replies.fill(0xff, to, to + 8).fill(0, to + 8, to + 20) // no append time; log start 0, throttle 0
  replyBytes += size
}

function append(input: Buffer, batch: number, batchEnd: number): void {
  input.writeUIntBE(nextOffset, batch + 2, 6)
  nextOffset += input.readInt32BE(batch + 23) + 1
  const big = !gathers || batchEnd - batch >= 16 << 10
  if (big) stagedBytes = write(staging, 0, stagedBytes)
  if (big) write(input, batch, batchEnd)
  else stagedBytes += input.copy(staging, stagedBytes, batch, batchEnd)
}

function write(bytes: Buffer, start: number, end: number): number {
  while (start < end) start += writeSync(log, bytes, start, end - start)
  return end - start
}

/** ApiVersions v0 (who asks for more is told so) and Metadata v0 of one topic: enough for librdkafka. */
function answer(frame: Buffer): Buffer {
  writer.begin()
  writer.int32(frame.readInt32BE(8))
  if (frame.readInt16BE(4) === 18) {
    writer.int16(frame.readInt16BE(6) === 0 ? 0 : 35)
    for (const value of [0, 3, 0, 0, 7, 1, 0, 7, 3, 0, 0]) writer.int16(value) // 3 x key, min, max
  } else {
    const topic = 18 + Math.max(0, frame.readInt16BE(12))
    for (const value of [1, 0]) writer.int32(value) // one broker: node 0
    writer.string('127.0.0.1')
    writer.int32(port())
    for (const value of [0, 1, 0]) writer.int16(value) // one topic, no error
    writer.string(frame.toString('utf8', topic + 2, topic + 2 + frame.readInt16BE(topic)))
    for (const value of [0, 1, 0]) writer.int16(value) // one partition, no error
    for (const value of [0, 0, 1, 0, 1, 0]) writer.int32(value) // index, leader, replicas, in sync
  }
  return Buffer.concat(writer.end())
}
