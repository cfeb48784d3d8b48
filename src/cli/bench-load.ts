/** `odradek bench wire` and `odradek bench http`: a producing load, then a consuming one over what it left. */
import type { BodyKind } from '../load/http-bodies.ts'
import type { LoadTopic } from '../load/load-topics.ts'
import { inFlightOf } from '../load/wire-produce.ts'
import type { HttpFlags, LoadFlags } from './bench.ts'
import { headLine, type LoadTerms, printRows, rowOf } from './bench-rows.ts'
import { BenchSession, type Measured } from './bench-session.ts'
import { findTarget } from './bench-target.ts'
import { UsageError } from './failure.ts'
import { print, printJson } from './output.ts'

type Mode = LoadTerms['mode']

/** How a mode is loaded, and what the row of it says. */
interface Plan {
  readonly terms: Omit<LoadTerms, 'flush'>
  readonly run: (session: BenchSession, topic: LoadTopic) => Promise<Measured>
}

/** Without --messages: as much as a producing load may write. */
const writtenBytesMax = 2e9
/** Of the formats of a pull the one that costs both sides least. */
const pullFormat = 'ndjson'

export async function benchWire(flags: LoadFlags): Promise<void> {
  const inFlight = flags.pipelining ?? inFlightOf(flags.batch, flags.size)
  await benchBoth(flags, mode => ({
    terms: {
      ...termsOf(mode, flags),
      driver: 'wire',
      body: null,
      pipelining: mode === 'produce' ? inFlight : 1,
    },
    run: (session, topic) =>
      session.load(
        mode,
        'wire',
        {
          ...settingsOf(mode, flags, topic),
          ...topic.leader,
          partitionCount: topic.partitionCount,
          inFlight,
          maxBytes: flags.pullBytes,
          partitionMaxBytes: flags.pullBytes,
        },
        topic,
      ),
  }))
}

export async function benchHttp(flags: HttpFlags): Promise<void> {
  if (!/^https?:/.test(flags.target)) {
    throw new UsageError(`--target ${flags.target}: give a URL, as in http://127.0.0.1:8082`)
  }
  const bodyKind: BodyKind = flags.body ?? (flags.batch === 1 ? 'octet-stream' : 'ndjson')
  if (bodyKind === 'octet-stream' && flags.batch > 1) {
    throw new UsageError('--body octet-stream is one record a request: drop --batch')
  }
  const pipelining = flags.pipelining ?? 1
  await benchBoth(flags, mode => ({
    terms: {
      ...termsOf(mode, flags),
      driver: 'http',
      body: mode === 'produce' ? bodyKind : pullFormat,
      pipelining: mode === 'produce' ? pipelining : 1,
    },
    run: async (session, topic) =>
      await session.load(
        mode,
        'http',
        {
          ...settingsOf(mode, flags, topic),
          url: flags.target,
          pipelining,
          bodyKind,
          accept: `application/x-${pullFormat}`,
          pullBytes: flags.pullBytes,
          endOffsets: mode === 'consume' ? await session.topics.endsOf(topic) : [],
        },
        topic,
      ),
  }))
}

async function benchBoth(flags: LoadFlags, planOf: (mode: Mode) => Plan): Promise<void> {
  const target = await findTarget(flags.target)
  const modes: readonly Mode[] = flags.consume ? ['produce', 'consume'] : ['produce']
  await BenchSession.run(target, flags.keep, async session => {
    const { driver } = planOf('produce').terms
    const { topic, flush } = await session.createTopic(driver, flags.partitions, flags.config)
    const rows = []
    for (const mode of modes) {
      const { terms, run } = planOf(mode)
      rows.push(rowOf({ ...terms, flush }, await run(session, topic)))
    }
    if (flags.json) return printJson({ target, rows })
    print(headLine(target))
    await printRows(rows)
  })
}

function termsOf(mode: Mode, { acks, connections, batch, size }: LoadFlags) {
  return { mode, row: null, acks, connections, batch, size } as const
}

/** What both drivers are told alike. */
function settingsOf(mode: Mode, flags: LoadFlags, topic: LoadTopic) {
  const { duration, messages, size } = flags
  // What is consumed goes round and round: there time is the only bound, unless messages are.
  const bytesMax = mode === 'produce' ? writtenBytesMax : Number.MAX_SAFE_INTEGER
  return {
    mode,
    topic: topic.name,
    acks: flags.acks,
    connectionCount: flags.connections,
    recordsPerBatch: flags.batch,
    recordBytes: size,
    seconds: duration,
    warmupSeconds: Math.min(flags.warmup, duration),
    payloadBytesMax: messages === undefined ? bytesMax : messages * size,
  }
}
