/** `odradek bench paper`: the paper's experiments (src/load/paper.ts) against one running broker. */
import type { LoadTopic } from '../load/load-topics.ts'
import {
  type PaperDriver,
  type PaperRow,
  type PaperStep,
  paperDrivers,
  paperFigures,
  paperHttpLoad,
  paperRecordBytes,
  paperRows,
  paperSteps,
  paperWireLoad,
} from '../load/paper.ts'
import { inFlightOf } from '../load/wire-produce.ts'
import type { PaperFlags } from './bench.ts'
import { type BenchRow, headLine, type LoadTerms, printRows, rowOf } from './bench-rows.ts'
import { BenchSession, type Measured } from './bench-session.ts'
import { findTarget } from './bench-target.ts'
import { print, printJson } from './output.ts'

export async function benchPaper(flags: PaperFlags): Promise<void> {
  const target = await findTarget(flags.target)
  const drivers = paperDrivers
    .filter(({ driver }) => driver === 'wire' || target.http !== null)
    .filter(({ driver }) => flags.driver === undefined || driver === flags.driver)
  await BenchSession.run(target, flags.keep, async session => {
    const rows: BenchRow[] = []
    for (const row of paperRows) {
      if (flags.row !== undefined && row.name !== flags.row) continue
      for (const driver of drivers) rows.push(...(await runSteps(session, flags, row, driver)))
    }
    if (flags.json) return printJson({ target, rows })
    print(headLine(target))
    await printRows(rows)
    const [one, fifty, consumed] = Object.values(paperFigures).map(speed =>
      speed.toLocaleString('en-US'),
    )
    print(`the paper, 2011: producer ${one} msg/s at batch 1 and ${fifty} at batch 50,`)
    print(`consumer ${consumed}, over 1 Gb/s`)
    if (target.http === null) {
      print("over HTTP, too: give the URL of odradek's HTTP port as --target")
    }
  })
}

/** The producing steps, each to a topic of its own, and the consuming one, which reads the last of them. */
async function runSteps(
  session: BenchSession,
  flags: PaperFlags,
  row: PaperRow,
  driver: PaperDriver,
): Promise<BenchRow[]> {
  const rows: BenchRow[] = []
  let made: Awaited<ReturnType<BenchSession['createTopic']>> | null = null
  for (const step of paperSteps) {
    if (step.mode === 'produce') {
      if (made !== null && !flags.keep) await session.topics.remove({ topic: made.topic })
      made = await session.createTopic('paper', 1, row.topicConfigs)
    }
    const { topic, flush } = made!
    const measured = await runStep(session, flags, row, driver, step, topic)
    rows.push(rowOf({ ...termsOf(row, driver, step), flush }, measured))
  }
  if (!flags.keep) await session.topics.remove({ topic: made!.topic })
  return rows
}

async function runStep(
  session: BenchSession,
  { messages, duration }: PaperFlags,
  { name, acks }: PaperRow,
  driver: PaperDriver,
  step: PaperStep,
  topic: LoadTopic,
): Promise<Measured> {
  const limits = { topic: topic.name, messages, seconds: duration }
  const batch = step.mode === 'produce' ? `, batch ${step.recordsPerBatch}` : ''
  const what = `${name}, ${driver.driver} x ${driver.connectionCount}, ${step.mode}${batch}`
  if (driver.driver === 'wire') {
    const settings = paperWireLoad(topic.leader, acks, driver, step, limits)
    return await session.load(what, 'wire', settings, topic)
  }
  const [end] = step.mode === 'consume' ? await session.topics.endsOf(topic) : [0]
  const settings = paperHttpLoad(session.target.http!, acks, driver, step, limits, end)
  return await session.load(what, 'http', settings, topic)
}

function termsOf(row: PaperRow, driver: PaperDriver, step: PaperStep): Omit<LoadTerms, 'flush'> {
  const { recordsPerBatch: batch, mode } = step
  const isHttp = driver.driver === 'http'
  const body = batch === 1 ? 'octet-stream' : 'ndjson'
  const inFlight = driver.pipelining || inFlightOf(batch, paperRecordBytes)
  return {
    mode,
    row: row.name,
    driver: driver.driver,
    body: isHttp ? body : null,
    acks: row.acks,
    connections: driver.connectionCount,
    pipelining: mode === 'consume' ? 1 : inFlight,
    batch,
    size: paperRecordBytes,
  }
}
