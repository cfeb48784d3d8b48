/**
 * A member of a group as a process of its own, to be killed or stopped: prints a number, then asks for the next record,
 * so that what is committed was printed. Arguments: JSON of consumer options with `topic` and `streamCount`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Consumer, type ConsumerOptions } from '../../src/client/consumer.ts'

interface Arguments extends ConsumerOptions {
  readonly topic: string
  readonly streamCount: number
  /** How long a record takes. */
  readonly workMs: number
}

const { topic, streamCount, workMs, ...options } = JSON.parse(process.argv[2]) as Arguments
const tell = (kind: string, text: string) => process.stdout.write(`${kind} ${text}\n`)
const consumer = new Consumer({ ...options, onWarning: text => tell('warning', text) })
const streams = await consumer.createMessageStreams(topic, streamCount)
tell('ready', '')
process.on('SIGTERM', () => void consumer.close())
await Promise.all(
  streams.map(async stream => {
    for await (const { value } of stream) {
      tell('number', String(value))
      await sleep(workMs)
    }
  }),
)
