/** Entry of `npm run bench -- NAME`: end-to-end benches by name, micro-benchmarks (*.bench.ts) by file. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { runFlush } from './flush.ts'
import { runGroups } from './groups.ts'
import { runHttp } from './http.ts'
import { runLargeStart } from './large-start.ts'
import { runPaper } from './paper.ts'
import { runUpkeep } from './upkeep.ts'
import { runWire } from './wire.ts'
import { UsageError } from './wire-options.ts'

const microSuffix = '.bench.ts'

const help = `Usage: npm run bench -- NAME [options]

  list               names every bench
  wire [options]     the Kafka port end to end, beside a floor server; see: npm run bench -- wire --help
  http [options]     the HTTP port under autocannon, beside a server that discards; see: npm run bench -- http --help
  start [options]    start and stop of a broker with many partitions; see: npm run bench -- start --help
  groups [options]   rebalances, offset commits, idle connections; see: npm run bench -- groups --help
  flush [options]    acks=all beside acks=1 with many dirty partitions; see: npm run bench -- flush --help
  paper [options]    the 2011 paper's experiments, beside other systems; see: npm run bench -- paper --help
  upkeep [options]   what retention, scrub, compaction and cold readers cost a producer; see --help
  NAME               a micro-benchmark of that name, one mechanism each

Example: npm run bench -- wire --quick
`

async function main([name, ...args]: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(help)
    return name === undefined ? 2 : 0
  }
  if (name === 'list') {
    process.stdout.write(listBenches())
    return 0
  }
  if (name === 'wire') return await runWire(args)
  if (name === 'http') return await runHttp(args)
  if (name === 'start') return await runLargeStart(args)
  if (name === 'groups') return await runGroups(args)
  if (name === 'flush') return await runFlush(args)
  if (name === 'paper') return await runPaper(args)
  if (name === 'upkeep') return await runUpkeep(args)
  if (microNames().includes(name)) return await runMicro(name, args)
  throw new UsageError(`no bench ${JSON.stringify(name)}: npm run bench -- list names them`)
}

function microNames(): string[] {
  return readdirSync(import.meta.dirname)
    .filter(file => file.endsWith(microSuffix))
    .map(file => file.slice(0, -microSuffix.length))
    .sort()
}

/** Each micro-benchmark is described by the first clause of its head comment. */
function listBenches(): string {
  const lines = [
    `${'flush'.padEnd(12)}acks=all beside acks=1 with many dirty partitions, and beside raw loops`,
    `${'groups'.padEnd(12)}rebalances of a large group, offset commits, idle connections`,
    `${'http'.padEnd(12)}the HTTP port under autocannon, beside a server that discards`,
    `${'paper'.padEnd(12)}the 2011 paper's experiments, beside other systems where they are installed`,
    `${'start'.padEnd(12)}start of a broker with many partitions, clean, killed and without its indexes`,
    `${'upkeep'.padEnd(12)}what retention, scrub, compaction and cold readers cost a producer`,
    `${'wire'.padEnd(12)}the Kafka port end to end, beside a floor server`,
  ]
  for (const name of microNames()) {
    const text = readFileSync(join(import.meta.dirname, name + microSuffix), 'utf8')
    const comment = /^\/\*\*(.*?)\*\//s.exec(text)?.[1] ?? ''
    const about = comment
      .replaceAll(/\s*\n \*\s?/g, ' ')
      .trim()
      .split(/[.:,](?: |$)/)[0]
    lines.push(name.padEnd(12) + about)
  }
  return `${lines.join('\n')}\n`
}

async function runMicro(name: string, args: readonly string[]): Promise<number> {
  const script = join(import.meta.dirname, name + microSuffix)
  const child = spawn(process.execPath, ['--expose-gc', script, ...args], { stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  return code ?? 1
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
