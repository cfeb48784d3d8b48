/**
 * `odradek log verify`: checks a data directory, or one log directory in it, while no broker runs there. Changes
 * nothing. The logs are checked by the task pool (workers/tasks/verify-log.ts), several at once.
 */
import { open, readdir, readFile, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { readKafkaOffsets, readTopicId } from '../adoption/kafka-directory.ts'
import { flushedEndKey } from '../contracts/flushed-ends.ts'
import { hasRecords, ROUND_HEADER_BYTES } from '../contracts/journal.ts'
import type { VerifyInput, VerifyReport } from '../contracts/verify.ts'
import { DirectoryLock } from '../data-directory-lock.ts'
import { loadFlushedEnds } from '../partitions/recovery-checkpoint.ts'
import { TaskPool } from '../task-pool.ts'
import { partitionDirectoryName } from '../topics/topic-names.ts'
import { FileTopicStore } from '../topics/topic-store.ts'
import { UsageError } from './failure.ts'
import { ProgressBar } from './progress-bar.ts'

export interface VerifyFlags {
  readonly records: boolean
  readonly json: boolean
}

/** What is to be checked, and what the data directory itself says. */
interface Plan {
  readonly logs: readonly string[]
  readonly isClean: boolean
  readonly isForeign: boolean
  /** Where bad bytes of a log are no torn end any more. */
  readonly flushedEndOf: (log: string) => Promise<number>
  /** Damage of the directory's own files. */
  readonly problems: readonly string[]
  /** That hold what the next start puts into the logs. */
  readonly journals: readonly string[]
}

/** @throws an Error that counts the damage, after every finding was printed; nothing when all is well */
export async function verify(path: string, flags: VerifyFlags): Promise<void> {
  const plan = await planOf(resolve(path))
  for (const problem of plan.problems)
    say(flags, { directory: path, kind: 'damage', message: problem })
  for (const journal of plan.journals) {
    const message = `${journal} holds rounds for the next start: ends of logs are not judged`
    say(flags, { directory: path, kind: 'note', message })
  }
  const reports = await check(plan, flags)
  const damaged = plan.problems.length + reports.reduce((sum, report) => sum + damageIn(report), 0)
  if (!flags.json)
    process.stdout.write(
      `${summary(reports)}: ${damaged === 0 ? 'no damage' : `damage in ${damaged} places`}\n`,
    )
  if (damaged > 0) throw new Error(`${path} is damaged in ${damaged} places`)
}

async function planOf(path: string): Promise<Plan> {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    throw new UsageError(
      error.code === 'ENOENT' ? `${path}: there is no such directory` : `${path}: ${error.message}`,
    )
  })
  const isLog = names.some(name => /^\d{20}\.log$/.test(name))
  const root = isLog ? dirname(path) : path
  await DirectoryLock.refuseIfHeld(root)
  const isForeign = !(await textOf(join(root, 'meta.properties'))).includes('odradek.format')
  const isClean = await exists(join(root, '.kafka_cleanshutdown'))
  const journals = isClean ? [] : await journalsWithRecords(root)
  const oursOrNone = journals.length > 0 ? async () => 0 : await ourEnds(root)
  const flushedEndOf = isForeign ? await kafkasEnds(root) : oursOrNone
  const found = { isClean, isForeign, flushedEndOf, journals }
  if (isLog) return { ...found, logs: [path], problems: [] }
  const logs = names.filter(name => /^[a-zA-Z0-9._-]+-\d{1,5}$/.test(name)).sort()
  if (logs.length === 0 && !names.includes('meta.properties')) {
    throw new UsageError(
      `${path} is neither a data directory nor a <topic>-<partition> directory in one`,
    )
  }
  const problems = isForeign ? [] : await topicProblems(root, new Set(logs))
  return { ...found, logs: logs.map(name => join(root, name)), problems }
}

/** A log is found by the topic id in its directory. */
async function ourEnds(root: string): Promise<Plan['flushedEndOf']> {
  const ends = await loadFlushedEnds(root)
  return async log => {
    const partition = Number(/-(\d{1,5})$/.exec(log)?.[1] ?? -1)
    const key = flushedEndKey((await readTopicId(log)) ?? '', partition)
    return ends.get(key)?.flushedEnd ?? 0
  }
}

async function journalsWithRecords(root: string): Promise<string[]> {
  const names = (await readdir(root)).filter(name => /^journal-\d+-[ab]$/.test(name))
  const found: string[] = []
  for (const name of names.sort()) {
    const file = await open(join(root, name))
    try {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(ROUND_HEADER_BYTES))
      if (hasRecords(buffer.subarray(0, bytesRead))) found.push(name)
    } finally {
      await file.close()
    }
  }
  return found
}

async function kafkasEnds(root: string): Promise<Plan['flushedEndOf']> {
  const ends = await readKafkaOffsets(join(root, 'recovery-point-offset-checkpoint'))
  return async log => ends.get(basename(log)) ?? 0
}

/** Topic metadata must be readable, every partition it names must be there. */
async function topicProblems(root: string, present: ReadonlySet<string>): Promise<string[]> {
  const problems: string[] = []
  const store = new FileTopicStore(root, message => problems.push(message))
  try {
    for (const topic of await store.load()) {
      for (let index = 0; index < topic.partitions; index++) {
        const name = partitionDirectoryName(topic.name, index)
        if (topic.state === 'live' && !present.has(name))
          problems.push(`directory ${name} is missing`)
      }
    }
  } catch (error) {
    problems.push((error as Error).message)
  }
  return problems
}

async function check(plan: Plan, flags: VerifyFlags): Promise<VerifyReport[]> {
  const tasks = new TaskPool()
  const bar = new ProgressBar(process.stderr)
  const sizes = await Promise.all(plan.logs.map(sizeOf))
  const totalBytes = sizes.reduce((sum, bytes) => sum + bytes, 0)
  let doneBytes = 0
  try {
    return await Promise.all(
      plan.logs.map(async (directory, index) => {
        const { isClean, isForeign } = plan
        const recoveryPoint = await plan.flushedEndOf(directory)
        const areRecordsRead = flags.records
        const input = { directory, isClean, isForeign, recoveryPoint, areRecordsRead }
        const report = await verified(tasks, input)
        doneBytes += sizes[index]
        bar.update('checked', doneBytes, totalBytes)
        print(report, flags)
        return report
      }),
    )
  } finally {
    bar.stop()
    await tasks.close()
  }
}

/** A directory that cannot be read at all is as damaged as can be; the others are checked all the same. */
async function verified(tasks: TaskPool, input: VerifyInput): Promise<VerifyReport> {
  const { directory } = input
  return await tasks.run<VerifyReport>('tasks/verify-log', input).catch((error: Error) => {
    const message = `cannot be checked: ${error.message}`
    const counts = { startOffset: 0, endOffset: 0, segments: 0, batches: 0, records: 0, bytes: 0 }
    return { directory, ...counts, findings: [{ file: '.', kind: 'damage', message }] }
  })
}

function print(report: VerifyReport, flags: VerifyFlags): void {
  if (flags.json) {
    process.stdout.write(`${JSON.stringify(report)}\n`)
    return
  }
  const log = basename(report.directory)
  for (const { file, kind, message } of report.findings) {
    say(flags, { directory: log, kind, message: `${file}: ${message}` })
  }
}

function say(
  flags: VerifyFlags,
  finding: { directory: string; kind: string; message: string },
): void {
  const { directory, kind, message } = finding
  process.stdout.write(
    flags.json ? `${JSON.stringify(finding)}\n` : `${kind} ${directory}: ${message}\n`,
  )
}

function damageIn({ findings }: VerifyReport): number {
  return findings.filter(({ kind }) => kind === 'damage').length
}

function summary(reports: readonly VerifyReport[]): string {
  const total = (field: 'segments' | 'batches' | 'records' | 'bytes'): string =>
    reports.reduce((sum, report) => sum + report[field], 0).toLocaleString('en')
  return `${reports.length} logs, ${total('segments')} segments, ${total('batches')} batches, ${total('records')} records, ${total('bytes')} bytes`
}

async function sizeOf(directory: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(directory)) {
    if (name.endsWith('.log')) bytes += (await stat(join(directory, name))).size
  }
  return bytes
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null
}

async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '')
}
