/** One run of `bench paper`: broker up, warm-up, producer, disk measured, consumer, broker down. */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { PaperOptions } from './paper-options.ts'
import type { PaperRun, StepFigures } from './paper-results.ts'
import type { Load, LoadFigures, Rival, RivalCase, RunningRival } from './rivals/rival.ts'

const blockBytes = 512
const settleLookMs = 250
const settleLooks = 4
const settleMsMax = 10_000
const warmupSecondsMax = 15

/** Runs it in `directory`. Rejects with the broker stopped when anything went wrong: no figure of a failed run. */
export async function runPaperCase(
  rival: Rival,
  rivalCase: RivalCase,
  options: PaperOptions,
  directory: string,
): Promise<PaperRun> {
  const broker = await rival.start(rivalCase, directory)
  try {
    return await measure(broker, rivalCase, options, directory)
  } finally {
    await broker.stop()
  }
}

async function measure(
  broker: RunningRival,
  rivalCase: RivalCase,
  { messages, seconds, messageBytes, warmupMessages }: PaperOptions,
  directory: string,
): Promise<PaperRun> {
  const load: Load = { queue: 'paper', messages, messageBytes, seconds, directory }
  const warmup = { queue: 'warmup', messages: warmupMessages, seconds: warmupSecondsMax }
  await broker.produce({ ...load, ...warmup })
  const bytesBefore = await settledBytes(broker.dataDirectory)
  const { figures, step: produce } = await timed(broker, messageBytes, () => broker.produce(load))
  const { rssBytes } = broker.processes
  const bytes = (await settledBytes(broker.dataDirectory)) - bytesBefore
  // A tool stopped by the clock may have sent more than it has reported.
  const stored = figures.storedMessages ?? (figures.messages === messages ? messages : null)
  const overheadBytes = stored === null ? null : bytes / stored - messageBytes
  const whole = { ...load, messages: figures.messages }
  const consume = rivalCase.consumes
    ? (await timed(broker, messageBytes, () => broker.consume(whole))).step
    : null
  return { produce, consume, overheadBytes, brokerRssMegabytes: rssBytes / 1e6 }
}

/** CPU time of the broker is read around the whole step: the start of the driver, in which it idles, is inside. */
async function timed(
  broker: RunningRival,
  messageBytes: number,
  load: () => Promise<LoadFigures>,
): Promise<{ readonly figures: LoadFigures; readonly step: StepFigures }> {
  const cpuBefore = broker.processes.cpuSeconds
  const figures = await load()
  const { messages, seconds, curve, clientCpuSeconds } = figures
  const brokerCpuSeconds = broker.processes.cpuSeconds - cpuBefore
  const step: StepFigures = {
    messages,
    seconds,
    messagesPerSecond: messages / seconds,
    megabytesPerSecond: (messages * messageBytes) / 1e6 / seconds,
    brokerCpuPerMillion: (brokerCpuSeconds / messages) * 1e6,
    brokerCores: brokerCpuSeconds / seconds,
    clientCores: clientCpuSeconds / seconds,
    curve,
  }
  return { figures, step }
}

/** Bytes that the files below `directory` take of the disk, once they have stopped to change or after 10 s. */
async function settledBytes(directory: string): Promise<number> {
  let [bytes, same] = [diskBytes(directory), 0]
  const untilMs = performance.now() + settleMsMax
  while (same < settleLooks && performance.now() < untilMs) {
    await sleep(settleLookMs)
    const now = diskBytes(directory)
    same = now === bytes ? same + 1 : 0
    bytes = now
  }
  return bytes
}

/** Allocated blocks, so that files made large beforehand count for what was written to them. */
export function diskBytes(directory: string): number {
  let bytes = 0
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const stat = statSync(join(entry.parentPath, entry.name), { throwIfNoEntry: false })
    bytes += (stat?.blocks ?? 0) * blockBytes
  }
  return bytes
}
