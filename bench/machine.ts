/** The machine under a measurement: printed with every figure, because a figure without it means nothing. */
import { closeSync, fdatasyncSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import os from 'node:os'
import { join, resolve } from 'node:path'
import { formatNumber, percentile } from './report.ts'

export interface Machine {
  readonly cpuModel: string
  readonly coreCount: number
  readonly memoryBytes: number
  readonly kernel: string
  readonly nodeVersion: string
  /** File system type and device under the data directory, as `ext4 on /dev/vda`. */
  readonly fileSystem: string
  readonly dataDirectory: string
  /** One 4 KiB append + fdatasync in the data directory, measured now. */
  readonly fdatasyncP50Ms: number
  readonly fdatasyncP99Ms: number
  /** 1-minute load average before the run: above ~0.5, somebody else was working on this machine. */
  readonly loadAverage: number
}

/** Describes this machine and times fdatasync in `dataDirectory` (about 200 calls, well under a second). */
export function describeMachine(dataDirectory: string): Machine {
  const sync = timeFdatasync(dataDirectory)
  const cpus = os.cpus()
  return {
    cpuModel: cpus[0]?.model.trim() ?? 'unknown',
    coreCount: cpus.length,
    memoryBytes: os.totalmem(),
    kernel: `${os.type()} ${os.release()}`,
    nodeVersion: process.version,
    fileSystem: fileSystemOf(dataDirectory),
    dataDirectory,
    fdatasyncP50Ms: sync.p50Ms,
    fdatasyncP99Ms: sync.p99Ms,
    loadAverage: os.loadavg()[0]!,
  }
}

function timeFdatasync(directory: string): { p50Ms: number; p99Ms: number } {
  const path = join(directory, 'fdatasync-probe')
  const file = openSync(path, 'w')
  const bytes = Buffer.alloc(4096, 0x6f)
  const timesMs: number[] = []
  try {
    const endMs = performance.now() + 1000
    while (timesMs.length < 200 && performance.now() < endMs) {
      writeSync(file, bytes)
      const startMs = performance.now()
      fdatasyncSync(file)
      timesMs.push(performance.now() - startMs)
    }
  } finally {
    closeSync(file)
    rmSync(path)
  }
  return { p50Ms: percentile(timesMs, 0.5), p99Ms: percentile(timesMs, 0.99) }
}

/** The mount that holds `directory`: the longest mount point that is a prefix of its path. */
function fileSystemOf(directory: string): string {
  let best = { point: '', text: `unknown (${os.type()})` }
  let mounts = ''
  try {
    mounts = readFileSync('/proc/self/mounts', 'utf8')
  } catch {
    return best.text
  }
  const path = `${resolve(directory)}/`
  for (const line of mounts.split('\n')) {
    const [device, point, type] = line.split(' ')
    if (device === undefined || point === undefined || type === undefined) continue
    const prefix = point.endsWith('/') ? point : `${point}/`
    if (path.startsWith(prefix) && point.length >= best.point.length) {
      best = { point, text: `${type} on ${device}` }
    }
  }
  return best.text
}

/** Two lines for the head of a report. */
export function machineLines(machine: Machine): string {
  const { coreCount, cpuModel, memoryBytes, kernel, nodeVersion, loadAverage } = machine
  return [
    `machine   ${coreCount} x ${cpuModel}, ${formatNumber(memoryBytes / 1e9)} GB, ${kernel}, Node ${nodeVersion}, ` +
      `load average before ${loadAverage.toFixed(2)}; client and server on the same cores`,
    `disk      ${machine.fileSystem} (${machine.dataDirectory}), 4 KiB append + fdatasync p50 ` +
      `${machine.fdatasyncP50Ms.toFixed(2)} ms, p99 ${machine.fdatasyncP99Ms.toFixed(2)} ms`,
  ].join('\n')
}
