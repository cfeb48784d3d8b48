/**
 * What stands around the JSON of a record or a notice on the wire. The bytes are the same for every client, so they are
 * made once. Dispatcher thread.
 *
 *   event stream   id: 0:18,1:4\ndata: {...}\n\n            a notice has a line `event: lost` before
 *   WebSocket      | 0x81 | length | {"event":"record","position":"0:18,1:4",...} |     one text frame each, not masked
 */
import type { ByteWriter } from './byte-writer.ts'

export type Envelope = (
  writer: ByteWriter,
  event: EventName,
  position: string,
  json: string,
) => void

/**
 * `position`: where the stream begins. `lost`: offsets that cannot be read any more. `reset`: the position does not
 * exist. `unavailable`: a partition cannot be read now. `error`: the last event of a stream that the broker ends.
 */
export type EventName = 'record' | 'position' | 'lost' | 'reset' | 'unavailable' | 'error'

/** Clients come back after a second, not after the several that browsers wait by themselves. */
const retryLine = 'retry: 1000\n'

export const eventStreamEnvelope: Envelope = (writer, event, position, json) => {
  const retry = event === 'position' ? retryLine : ''
  const name = event === 'record' ? '' : `${retry}event: ${event}\n`
  writer.text(`${name}id: ${position}\ndata: ${json}\n\n`)
}

/** First byte of a frame: the last one of its message, text. */
const textFrame = 0x81

export const webSocketEnvelope: Envelope = (writer, event, position, json) => {
  const rest = json === '{}' ? '}' : `,${json.slice(1)}`
  const text = `{"event":"${event}","position":"${position}"${rest}`
  const length = Buffer.byteLength(text)
  writer.byte(textFrame)
  if (length < 126) {
    writer.byte(length)
  } else if (length < 65_536) {
    writer.byte(126)
    writer.uint16(length)
  } else {
    writer.byte(127)
    writer.uint64(length)
  }
  writer.text(text)
}
