/**
 * RabbitMQ as Debian has it, loaded by PerfTest. Its own epmd runs in the foreground beside it, so that nothing is left
 * behind; Debian's wrapper in /usr/sbin is not used, because it changes the user and drops the environment.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { accepts, BrokerProcesses } from './broker-processes.ts'
import { fetchPerfTest, perfTestVersion, requireCommand, requireFile } from './fetch.ts'
import { packageVersion } from './package-version.ts'
import type { Load, LoadFigures, Rival, RivalCase, RunningRival } from './rival.ts'
import { curveOfRates, runTool, type ToolRun } from './run-tool.ts'

const launcher = '/usr/lib/rabbitmq/bin/rabbitmq-server'
const confirmWindow = 1000
/** What PerfTest counts when it is stopped by the clock is its own rounding: so much of it is asked for again. */
const timedShare = 0.98

const sentRate = / sent: (\d+) msg\/s/
const receivedRate = / received: (\d+) msg\/s/
const sentMean = / sending rate avg: (\d+) msg\/s/
const receivedMean = / receiving rate avg: (\d+) msg\/s/

let perfTest = ''

export const rabbitmq: Rival = {
  name: 'RabbitMQ',
  driver: `PerfTest ${perfTestVersion}`,
  consuming: 'basic.consume, automatic acknowledgement',
  clientBound: null,
  cases: [
    {
      level: 'fire',
      batch: 1,
      durability:
        'durable classic queue, persistent messages, no confirms; written in the background',
      consumes: true,
    },
    {
      level: 'synced',
      batch: 1,
      durability: `quorum queue, confirms, ${confirmWindow} outstanding; confirmed after fsync`,
      consumes: false,
    },
  ],

  async prepare() {
    requireFile(launcher, 'rabbitmq-server')
    perfTest = await fetchPerfTest()
    return await packageVersion('rabbitmq-server')
  },

  async start(rivalCase, directory) {
    const processes = new BrokerProcesses()
    const [port, epmdPort, distributionPort] = [
      await freePort(),
      await freePort(),
      await freePort(),
    ]
    const dataDirectory = join(directory, 'data')
    mkdirSync(dataDirectory, { recursive: true })
    const at = (name: string) => join(directory, name)
    writeFileSync(at('rabbitmq.conf'), `listeners.tcp.1 = 127.0.0.1:${port}\nlog.console = false\n`)
    writeFileSync(at('plugins'), '[].\n')
    const environment = {
      HOME: directory,
      RABBITMQ_NODENAME: 'bench@localhost',
      RABBITMQ_MNESIA_BASE: dataDirectory,
      RABBITMQ_LOG_BASE: at('log'),
      RABBITMQ_CONFIG_FILE: at('rabbitmq.conf'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_ENABLED_PLUGINS_FILE: at('plugins'),
      RABBITMQ_PID_FILE: at('pid'),
      RABBITMQ_DIST_PORT: String(distributionPort),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
      ERL_EPMD_PORT: String(epmdPort),
      ERL_EPMD_ADDRESS: '127.0.0.1',
    }
    const epmd = requireCommand('epmd', 'erlang-base')
    const logPath = at('out.log')
    const common = { directory, logPath, environment }
    await processes.launch({ command: epmd, args: ['-port', String(epmdPort)], ...common }, () =>
      accepts(epmdPort),
    )
    await processes.launch({ command: launcher, args: [], ...common }, () => accepts(port))
    return running(processes, dataDirectory, port, rivalCase)
  },
}

function running(
  processes: BrokerProcesses,
  dataDirectory: string,
  port: number,
  { level }: RivalCase,
): RunningRival {
  const common = ({ queue, messageBytes, seconds }: Load) => [
    ...['--uri', `amqp://guest:guest@127.0.0.1:${port}`, '--queue', queue],
    ...['--auto-delete', 'false', '--flag', 'persistent', '--size', String(messageBytes)],
    ...['--interval', '1', '--time', String(Math.ceil(seconds))],
    ...(level === 'synced' ? ['--quorum-queue'] : []),
  ]
  const call = async (load: Load, args: readonly string[], kind: 'sent' | 'received') => {
    const java = ['-cp', perfTest, 'com.rabbitmq.perf.PerfTest', ...common(load), ...args]
    const { seconds } = load
    const run = await runTool({ command: 'java', args: java, seconds, graceSeconds: 20 })
    return figuresOf(run, load.messages, kind)
  }
  return {
    processes,
    dataDirectory,
    produce: async load => {
      const args = ['--producers', '1', '--consumers', '0', '--pmessages', String(load.messages)]
      if (level === 'synced') args.push('--confirm', String(confirmWindow))
      return await call(load, args, 'sent')
    },
    consume: async load => {
      const args = ['--producers', '0', '--consumers', '1', '--cmessages', String(load.messages)]
      return await call(load, [...args, '--autoack'], 'received')
    },
    stop: () => processes.stop(),
  }
}

/** Of PerfTest's report: `..., time 1.004 s, sent: 9576 msg/s` each second, at last `sending rate avg: 6785 msg/s`. */
export function figuresOf(
  { lines, wasKilled, cpuSeconds }: ToolRun,
  wanted: number,
  kind: 'sent' | 'received',
): LoadFigures {
  const rates: { seconds: number; perSecond: number }[] = []
  let average = 0
  for (const line of lines) {
    const time = / time (\d+\.\d+) s,/.exec(line)
    const rate = (kind === 'sent' ? sentRate : receivedRate).exec(line)
    if (time !== null && rate !== null) {
      rates.push({ seconds: Number(time[1]), perSecond: Number(rate[1]) })
    }
    const mean = (kind === 'sent' ? sentMean : receivedMean).exec(line)
    if (mean !== null) average = Number(mean[1])
  }
  const curve = curveOfRates(rates)
  const isWhole = !wasKilled && lines.some(line => /reached message limit/.test(line))
  if (!isWhole) {
    const last = curve.at(-1)
    if (last === undefined || last.messages === 0) throw new Error('PerfTest reported no message')
    const messages = Math.floor(last.messages * timedShare)
    return { messages, seconds: last.seconds * timedShare, curve, clientCpuSeconds: cpuSeconds }
  }
  if (average === 0) throw new Error('PerfTest reported no rate')
  const seconds = wanted / average
  const before = curve.filter(point => point.seconds < seconds && point.messages < wanted)
  return {
    messages: wanted,
    seconds,
    curve: [...before, { seconds, messages: wanted }],
    clientCpuSeconds: cpuSeconds,
  }
}
