/**
 * What a client says on the WebSocket of a tail: `{"credit": 100}`, so many records more. Everything else ends the
 * tail with a reason. Dispatcher thread.
 */
import type { RawData, WebSocket } from 'ws'
import type { Tail } from './tail.ts'
import type { TailHub } from './tail-hub.ts'

/** Largest message; a grant has a few bytes. */
export const messageBytesMax = 1024
const creditMax = 1_000_000_000
/** Messages a client may send beyond one for each record it was sent. */
const spareMessages = 1000
const wanted = 'a message must be {"credit": N}, N from 1 to 1000000000'

export function takeCredit(webSocket: WebSocket, tail: Tail, hub: TailHub): void {
  let messages = 0
  const refuse = (why: string): void => hub.end(tail, 'protocol', why)
  const isTooMuch = (): boolean => ++messages > spareMessages + tail.recordsSent
  webSocket.on('message', (data: RawData, isBinary: boolean) => {
    if (tail.ended !== null) return
    if (isTooMuch()) return refuse('more messages than records')
    if (isBinary) return refuse(wanted)
    const credit = creditIn((data as Buffer).toString())
    if (credit === null) return refuse(wanted)
    if (tail.credit + credit > creditMax) return refuse(`more than ${creditMax} records of credit`)
    tail.grant(credit)
  })
  webSocket.on('ping', (data: Buffer) => {
    if (tail.ended !== null) return
    if (isTooMuch()) return refuse('more pings than records')
    webSocket.pong(data)
  })
  // A frame that is none, or too large a message: `ws` has answered with a close frame.
  webSocket.on('error', error => refuse(error.message))
}

function creditIn(text: string): number | null {
  try {
    const message: unknown = JSON.parse(text)
    if (typeof message !== 'object' || message === null) return null
    if (Object.keys(message).length !== 1 || !('credit' in message)) return null
    const { credit } = message
    if (typeof credit !== 'number' || !Number.isInteger(credit)) return null
    return credit >= 1 && credit <= creditMax ? credit : null
  } catch {
    return null
  }
}
