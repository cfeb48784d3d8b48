/** Redis Streams: Debian's server with its append-only file, loaded by redis-benchmark. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { accepts, BrokerProcesses } from './broker-processes.ts'
import { requireCommand } from './fetch.ts'
import { packageVersion } from './package-version.ts'
import type { Load, LoadFigures, Rival, RivalCase, RunningRival } from './rival.ts'
import { inRounds, runTool, type ToolRun } from './run-tool.ts'

const everySecond = 'answered from memory; appendonly, appendfsync everysec'
const always = 'appendonly, appendfsync always: answered after fsync'
const pullMessages = 1000
/** Fewer are over within the millisecond that redis-benchmark tells; of a short stream some are read again. */
const roundPullsMin = 100
const toolSeconds = 30

export const redis: Rival = {
  name: 'Redis Streams',
  driver: 'redis-benchmark',
  consuming: `XREAD COUNT ${pullMessages} at random places of the stream`,
  clientBound: null,
  cases: (['answered', 'synced'] as const).flatMap(level =>
    [1, 50].map(batch => ({
      level,
      batch,
      durability: level === 'synced' ? always : everySecond,
      consumes: level === 'answered' && batch === 50,
    })),
  ),

  async prepare() {
    requireCommand('redis-server', 'redis-server')
    requireCommand('redis-benchmark', 'redis-tools')
    return await packageVersion('redis-server')
  },

  async start(rivalCase, directory) {
    const processes = new BrokerProcesses()
    const port = await freePort()
    const dataDirectory = join(directory, 'data')
    mkdirSync(dataDirectory, { recursive: true })
    const settings = join(directory, 'redis.conf')
    const fsync = rivalCase.level === 'synced' ? 'always' : 'everysec'
    writeFileSync(
      settings,
      `bind 127.0.0.1\nport ${port}\ndir ${dataDirectory}\nappendonly yes\nappendfsync ${fsync}\n` +
        'save ""\nauto-aof-rewrite-percentage 0\n',
    )
    const logPath = join(directory, 'out.log')
    await processes.launch({ command: 'redis-server', args: [settings], directory, logPath }, () =>
      accepts(port),
    )
    return running(processes, dataDirectory, port, rivalCase)
  },
}

function running(
  processes: BrokerProcesses,
  dataDirectory: string,
  port: number,
  { batch }: RivalCase,
): RunningRival {
  const address = ['-h', '127.0.0.1', '-p', String(port)]
  const bench = async (count: number, pipeline: number, args: readonly string[], load: Load) => {
    const settings = ['-c', '1', '-n', String(count), '-P', String(pipeline), '--csv']
    const { seconds } = load
    const call = [...address, ...settings, ...args]
    return await runTool({ command: 'redis-benchmark', args: call, seconds })
  }
  const length = async (stream: string) => {
    const args = [...address, 'XLEN', stream]
    const { lines } = await runTool({ command: 'redis-cli', args, seconds: toolSeconds })
    return Number(lines[0])
  }
  return {
    processes,
    dataDirectory,
    produce: async load => {
      const { queue, messages, messageBytes, seconds } = load
      // Ids 1-1, 1-2, ...: so that a place of the stream can be named when it is read.
      const add = ['XADD', queue, '1-*', 'm', 'x'.repeat(messageBytes)]
      const figures = await inRounds(messages, seconds, async count =>
        figuresOf(await bench(count, batch, add, load), count),
      )
      const stored = await length(queue)
      if (stored !== figures.messages) {
        throw new Error(`the stream holds ${stored} of ${figures.messages} messages`)
      }
      return figures
    },
    consume: async load => {
      const { queue, messages, seconds } = load
      if (messages < pullMessages) throw new Error(`fewer than ${pullMessages} messages to read`)
      const places = ['-r', String(messages - pullMessages + 1)]
      const streams = ['STREAMS', queue, '1-__rand_int__']
      const read = [...places, 'XREAD', 'COUNT', String(pullMessages), ...streams]
      return await inRounds(messages, seconds, async count => {
        const pulls = Math.max(roundPullsMin, Math.ceil(count / pullMessages))
        return figuresOf(await bench(pulls, 1, read, load), pulls, pullMessages)
      })
    },
    stop: () => processes.stop(),
  }
}

/** Of redis-benchmark's CSV: `"test","rps",...`, then one line whose second field is the rate of its requests. */
export function figuresOf(
  { lines, wasKilled, cpuSeconds }: ToolRun,
  requests: number,
  messagesEach = 1,
): LoadFigures {
  const complaint = lines.find(line => /error/i.test(line))
  if (complaint !== undefined) throw new Error(complaint)
  const row = lines.filter(line => /^".*","[\d.]+"/.test(line)).at(-1)
  const rate = Number(/","([\d.]+)"/.exec(row ?? '')?.[1] ?? 0)
  if (wasKilled || rate === 0) throw new Error('redis-benchmark did not come to its end in time')
  return {
    messages: requests * messagesEach,
    seconds: requests / rate,
    curve: [],
    clientCpuSeconds: cpuSeconds,
  }
}
