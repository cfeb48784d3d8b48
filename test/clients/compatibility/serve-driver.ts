/** A client of the Node world as a driver process: `node serve-driver.ts kafkajs`. Lines as driver.ts says. */
import { createInterface } from 'node:readline'
import type { Calls } from './driver.ts'
import { fromLine, toLine } from './wire.ts'

const [name] = process.argv.slice(2)
const { calls } = (await import(`./${name}-calls.ts`)) as { calls: Calls }

// What the client still has open (a long poll, timers) does not hold the process.
void serve().then(() => process.exit(0))

async function serve(): Promise<void> {
  for await (const line of createInterface(process.stdin)) {
    const { id, call, args } = fromLine(line) as { id: number; call: keyof Calls; args: never }
    let answer: object
    try {
      if (!Object.hasOwn(calls, call)) throw new Error(`no such call: ${call}`)
      answer = { id, result: (await calls[call](args)) ?? null }
    } catch (error) {
      answer = { id, error: described(error) }
    }
    process.stdout.write(toLine(answer))
    if (call === 'bye') break
  }
}

/** The client's error with the messages of its causes, and the first code of Kafka's found among them. */
function described(error: unknown): object {
  const all = [...chainOf(error)]
  const code = all.map(codeOf).find(one => one !== undefined)
  const name = error instanceof Error ? error.name : 'Error'
  return { name, message: all.map(messageOf).join(' < '), code }
}

/** Where clients keep the errors behind an error; kafkajs has rows of groups and partitions. */
interface Nested {
  readonly errors?: readonly unknown[]
  readonly groups?: readonly { readonly error?: unknown }[]
  readonly partitions?: readonly { readonly error?: unknown }[]
  readonly cause?: unknown
}

function* chainOf(error: unknown, depth = 0): Generator<unknown> {
  yield error
  if (typeof error !== 'object' || error === null || depth > 5) return
  const { errors = [], groups = [], partitions = [], cause } = error as Nested
  const rows = [...groups, ...partitions].map(row => row.error)
  for (const one of [...errors, ...rows, cause]) {
    if (one !== undefined) yield* chainOf(one, depth + 1)
  }
}

const messageOf = (error: unknown) => (error instanceof Error ? error.message : `${error}`)

/** kafkajs says `code`, @platformatic/kafka `apiCode`. */
function codeOf(error: unknown): number | undefined {
  const { apiCode, code } = (error ?? {}) as { apiCode?: unknown; code?: unknown }
  return [apiCode, code].find(one => typeof one === 'number')
}
