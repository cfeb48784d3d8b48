/** NATS JetStream: Debian's server, loaded by `nats bench` of the NATS command line. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from '../../test/support/free-port.ts'
import { accepts, BrokerProcesses } from './broker-processes.ts'
import { fetchNatsTool, natsToolVersion, requireCommand } from './fetch.ts'
import { packageVersion } from './package-version.ts'
import type { Load, LoadFigures, Rival, RivalCase, RunningRival } from './rival.ts'
import { inRounds, runTool, type ToolRun } from './run-tool.ts'

const unsynced = 'file storage, synced every 2 minutes'
const toolSeconds = 30
const arrivalSeconds = 60

let tool = ''

export const nats: Rival = {
  name: 'NATS JetStream',
  driver: `nats bench ${natsToolVersion}`,
  consuming: 'an ordered push consumer, nothing acknowledged',
  clientBound: null,
  cases: [
    {
      level: 'fire',
      batch: 1,
      durability: `core publish into a stream, no answer; ${unsynced}`,
      consumes: true,
    },
    {
      level: 'answered',
      batch: 1,
      durability: `answered one by one; ${unsynced}`,
      consumes: false,
    },
    {
      level: 'answered',
      batch: 50,
      durability: `answered, 50 at a time; ${unsynced}`,
      consumes: false,
    },
  ],

  async prepare() {
    requireCommand('nats-server', 'nats-server')
    tool = await fetchNatsTool()
    return await packageVersion('nats-server')
  },

  async start(rivalCase, directory) {
    const processes = new BrokerProcesses()
    const port = await freePort()
    const dataDirectory = join(directory, 'data')
    mkdirSync(dataDirectory, { recursive: true })
    const settings = join(directory, 'nats.conf')
    const store = `store_dir: "${dataDirectory}", max_file_store: 60G, max_memory_store: 1G`
    writeFileSync(settings, `listen: "127.0.0.1:${port}"\njetstream { ${store} }\n`)
    const logPath = join(directory, 'out.log')
    await processes.launch(
      { command: 'nats-server', args: ['-c', settings], directory, logPath },
      () => accepts(port),
    )
    return running(processes, dataDirectory, port, rivalCase)
  },
}

function running(
  processes: BrokerProcesses,
  dataDirectory: string,
  port: number,
  { level, batch }: RivalCase,
): RunningRival {
  // HOME: the tool keeps contexts there.
  const call = (load: Load, args: readonly string[], seconds: number) =>
    runTool({
      command: tool,
      args: ['--server', `nats://127.0.0.1:${port}`, ...args],
      environment: { HOME: load.directory, XDG_CONFIG_HOME: load.directory },
      seconds,
    })
  const bench = (load: Load, count: number, args: readonly string[], seconds: number) => {
    const sizes = ['--msgs', String(count), '--size', String(load.messageBytes), '--no-progress']
    return call(load, ['bench', load.queue, ...sizes, ...args], seconds)
  }
  const how =
    level === 'fire'
      ? []
      : ['--js', ...(batch === 1 ? ['--syncpub'] : ['--pubbatch', String(batch)])]
  return {
    processes,
    dataDirectory,
    produce: async load => {
      const { queue, messages, seconds } = load
      const stream = ['stream', 'add', queue, '--subjects', queue, '--storage', 'file']
      await call(load, [...stream, '--defaults'], toolSeconds)
      let sent = 0
      return await inRounds(messages, seconds, async count => {
        const publish = [...how, '--pub', '1', '--stream', queue]
        const run = await bench(load, count, publish, seconds)
        const figures = figuresOf(run, count, 'Pub')
        sent += count
        const startMs = performance.now()
        await arrived(load, sent, call)
        // The look itself takes its time; only a backlog counts.
        const waited = level === 'fire' ? (performance.now() - startMs) / 1000 : 0
        return { ...figures, seconds: figures.seconds + (waited > 1 ? waited : 0) }
      })
    },
    consume: async load => {
      const subscribe = ['--js', '--sub', '1', '--stream', load.queue]
      const run = await bench(load, load.messages, subscribe, load.seconds)
      return figuresOf(run, load.messages, 'Sub')
    },
    stop: () => processes.stop(),
  }
}

/** Waits until the stream holds exactly so many messages. */
async function arrived(
  load: Load,
  wanted: number,
  call: (load: Load, args: readonly string[], seconds: number) => Promise<ToolRun>,
): Promise<void> {
  const untilMs = performance.now() + arrivalSeconds * 1000
  for (;;) {
    const { lines } = await call(load, ['stream', 'info', load.queue, '--json'], toolSeconds)
    const { state } = JSON.parse(lines.join('\n')) as { state: { messages: number } }
    if (state.messages === wanted) return
    if (performance.now() > untilMs || state.messages > wanted) {
      throw new Error(`the stream holds ${state.messages} of ${wanted} messages`)
    }
    await sleep(50)
  }
}

/** Of `Pub stats: 123,456 msgs/sec ~ 23.54 MB/sec`. */
export function figuresOf(
  { lines, wasKilled, cpuSeconds }: ToolRun,
  messages: number,
  kind: 'Pub' | 'Sub',
): LoadFigures {
  const rates = lines.map(line => new RegExp(`${kind} stats: ([\\d,]+) msgs/sec`).exec(line))
  const rate = Number((rates.find(match => match !== null)?.[1] ?? '0').replaceAll(',', ''))
  if (wasKilled || rate === 0) throw new Error('nats bench did not come to its end in time')
  const seconds = messages / rate
  return { messages, seconds, curve: [], clientCpuSeconds: cpuSeconds }
}
