/** Load tools as processes: their lines, their CPU time, their deadline. */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { track } from '../server-process.ts'
import { cpuSecondsOf, processTree } from './broker-processes.ts'
import type { CurvePoint, LoadFigures } from './rival.ts'

export interface ToolCall {
  readonly command: string
  readonly args: readonly string[]
  readonly environment?: NodeJS.ProcessEnv
  /** Killed afterwards, which is no failure: what it said until then counts. */
  readonly seconds: number
  /** Added to `seconds` before the tool is killed: its start. */
  readonly graceSeconds?: number
}

export interface ToolRun {
  readonly lines: readonly string[]
  readonly wasKilled: boolean
  readonly cpuSeconds: number
}

const cpuLookMs = 100
const complaintLines = 4
const defaultGraceSeconds = 5

/** Runs a tool to its end. Rejects with its last lines when its exit code is not 0. */
export async function runTool(call: ToolCall): Promise<ToolRun> {
  const { command, args, environment, seconds, graceSeconds = defaultGraceSeconds } = call
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  })
  track(child)
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve(signal ?? `exit ${code}`))
  })
  const lines: string[] = []
  for (const input of [child.stdout, child.stderr]) {
    // Progress bars and some reports end their lines with a carriage return.
    createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }).on('line', line => {
      lines.push(...line.split('\r'))
    })
  }
  let cpuSeconds = Number.NaN
  let wasKilled = false
  const look = setInterval(() => {
    const now = cpuSecondsOf(processTree([child.pid ?? 0]))
    if (now > 0) cpuSeconds = now
  }, cpuLookMs)
  const deadline = setTimeout(
    () => {
      wasKilled = child.kill('SIGKILL')
    },
    (seconds + graceSeconds) * 1000,
  )
  const how = await ended.finally(() => {
    clearInterval(look)
    clearTimeout(deadline)
  })
  if (how !== 'exit 0' && !wasKilled) {
    const said = lines.filter(line => line.trim() !== '').slice(-complaintLines)
    throw new Error(`${command.split('/').pop()}: ${how}: ${said.join(' | ')}`)
  }
  return { lines, wasKilled, cpuSeconds }
}

/** Curve of a tool that reports the rate of each interval by the time of its end. */
export function curveOfRates(
  rates: readonly { readonly seconds: number; readonly perSecond: number }[],
): CurvePoint[] {
  let [messages, before] = [0, 0]
  return rates.map(({ seconds, perSecond }) => {
    messages += perSecond * (seconds - before)
    before = seconds
    return { seconds, messages: Math.round(messages) }
  })
}

/** Rounds of a tool that knows no time limit: each a share of the messages, until the time is up. */
export async function inRounds(
  messages: number,
  seconds: number,
  round: (count: number) => Promise<LoadFigures>,
): Promise<LoadFigures> {
  const roundMessages = Math.max(roundMessagesMin, Math.ceil(messages / roundCount))
  const curve: CurvePoint[] = []
  let total = { messages: 0, seconds: 0, clientCpuSeconds: 0 }
  while (total.messages < messages && total.seconds < seconds) {
    const figures = await round(Math.min(roundMessages, messages - total.messages))
    total = {
      messages: total.messages + figures.messages,
      seconds: total.seconds + figures.seconds,
      clientCpuSeconds: total.clientCpuSeconds + figures.clientCpuSeconds,
    }
    curve.push({ seconds: total.seconds, messages: total.messages })
  }
  return { ...total, storedMessages: total.messages, curve }
}

const roundCount = 10
/** Tools tell milliseconds: a shorter round would be mostly rounding. */
const roundMessagesMin = 10_000
