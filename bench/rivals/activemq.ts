/** ActiveMQ as Debian has it (KahaDB), loaded by its own OpenWire client in OpenWireLoad.java. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from '../../test/support/free-port.ts'
import { accepts, BrokerProcesses } from './broker-processes.ts'
import { requireCommand, requireFile } from './fetch.ts'
import { packageVersion } from './package-version.ts'
import type { Level, Load, Rival, RivalCase, RunningRival } from './rival.ts'
import { runTool, type ToolRun } from './run-tool.ts'

const home = '/usr/share/activemq'
const driver = join(import.meta.dirname, 'OpenWireLoad.java')
const classPath = [`${home}/lib/*`, '/usr/share/java/slf4j-api.jar'].join(':')
const periodic = 'KahaDB, journalDiskSyncStrategy=periodic (an fsync each second)'
const always = 'KahaDB, journalDiskSyncStrategy=always: answered after fsync'

export const activemq: Rival = {
  name: 'ActiveMQ',
  driver: 'OpenWire client, a small JMS program of ours',
  consuming: 'a JMS listener, automatic acknowledgement, the default prefetch of 1,000',
  clientBound: null,
  cases: [
    {
      level: 'fire',
      batch: 1,
      durability: `persistent, useAsyncSend; ${periodic}`,
      consumes: true,
    },
    { level: 'answered', batch: 1, durability: `persistent; ${periodic}`, consumes: false },
    { level: 'synced', batch: 1, durability: `persistent; ${always}`, consumes: false },
    {
      level: 'synced',
      batch: 50,
      durability: `persistent, a transaction of 50; ${always}`,
      consumes: false,
    },
  ],

  async prepare() {
    requireFile(`${home}/bin/activemq.jar`, 'activemq')
    requireCommand('javac', 'openjdk-17-jdk-headless')
    return await packageVersion('activemq')
  },

  async start(rivalCase, directory) {
    const processes = new BrokerProcesses()
    const port = await freePort()
    const dataDirectory = join(directory, 'data')
    mkdirSync(dataDirectory, { recursive: true })
    const settings = join(directory, 'activemq.xml')
    writeFileSync(settings, settingsOf(dataDirectory, port, rivalCase.level))
    const places = { home, base: directory, conf: directory, data: dataDirectory }
    const args = [
      ...Object.entries(places).map(([name, path]) => `-Dactivemq.${name}=${path}`),
      ...['-Xms1g', '-Xmx1g', '-jar', `${home}/bin/activemq.jar`],
      ...['start', `xbean:file:${settings}`],
    ]
    const logPath = join(directory, 'out.log')
    await processes.launch({ command: 'java', args, directory, logPath }, () => accepts(port))
    return running(processes, dataDirectory, port, rivalCase)
  },
}

function running(
  processes: BrokerProcesses,
  dataDirectory: string,
  port: number,
  { level, batch }: RivalCase,
): RunningRival {
  const call = async (mode: 'produce' | 'consume', load: Load) => {
    const { queue, messages, messageBytes, seconds } = load
    const asyncSend = level === 'fire' ? 'true' : 'false'
    const url = `tcp://127.0.0.1:${port}?jms.useAsyncSend=${asyncSend}&jms.watchTopicAdvisories=false`
    const numbers = [messages, messageBytes, seconds, mode === 'produce' ? batch : 1]
    const args = ['-cp', classPath, driver, mode, url, queue, ...numbers.map(String)]
    const run = await runTool({ command: 'java', args, seconds, graceSeconds: 60 })
    return figuresOf(run)
  }
  return {
    processes,
    dataDirectory,
    produce: load => call('produce', load),
    consume: load => call('consume', load),
    stop: () => processes.stop(),
  }
}

/** Of the driver's report: `at SECONDS MESSAGES` four times a second, `end SECONDS MESSAGES`. */
export function figuresOf({ lines, cpuSeconds }: ToolRun) {
  const numbers = (word: string) =>
    lines
      .filter(line => line.startsWith(`${word} `))
      .map(line => line.split(' ').slice(1).map(Number))
      .map(([seconds = 0, messages = 0]) => ({ seconds, messages }))
  const end = numbers('end').at(-1)
  if (end === undefined) throw new Error('the OpenWire driver did not come to its end')
  const curve = [...numbers('at'), end]
  return { ...end, storedMessages: end.messages, curve, clientCpuSeconds: cpuSeconds }
}

function settingsOf(dataDirectory: string, port: number, level: Level): string {
  const strategy = level === 'synced' ? 'always' : 'periodic'
  const schemas = 'http://www.springframework.org/schema/beans'
  const core = 'http://activemq.apache.org/schema/core'
  return `<beans xmlns="${schemas}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="${schemas} ${schemas}/spring-beans.xsd ${core} ${core}/activemq-core.xsd">
<broker xmlns="${core}" brokerName="bench" dataDirectory="${dataDirectory}" useJmx="false"
    schedulerSupport="false" advisorySupport="false">
  <persistenceAdapter>
    <kahaDB directory="${dataDirectory}/kahadb" journalDiskSyncStrategy="${strategy}"/>
  </persistenceAdapter>
  <systemUsage><systemUsage>
    <memoryUsage><memoryUsage limit="512 mb"/></memoryUsage>
    <storeUsage><storeUsage limit="50 gb"/></storeUsage>
    <tempUsage><tempUsage limit="1 gb"/></tempUsage>
  </systemUsage></systemUsage>
  <transportConnectors>
    <transportConnector name="openwire" uri="tcp://127.0.0.1:${port}"/>
  </transportConnectors>
</broker>
</beans>
`
}
