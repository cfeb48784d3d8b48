/**
 * What a process has used so far, read from outside through /proc: the measured server runs without a hook for this.
 * Any thread, any process. Linux only: elsewhere the figures are NaN and the report prints a dash.
 *
 *   /proc/PID/stat    ... (comm) state ppid ... utime stime ...      clock ticks, exited threads included
 *   /proc/PID/status  VmRSS, VmHWM, Threads                          kB
 *   /proc/PID/io      read_bytes, write_bytes                        bytes that went to a block device
 */
import { readFileSync } from 'node:fs'

/** Clock ticks a second as the kernel shows them to user space (USER_HZ): 100 on every Linux port Node runs on. */
const TICKS_PER_SECOND = 100

export interface ProcessUsage {
  readonly userSeconds: number
  readonly systemSeconds: number
  readonly rssBytes: number
  readonly rssPeakBytes: number
  readonly threadCount: number
  /** Bytes fetched from, and handed to, block devices; page-cache hits do not count. */
  readonly readBytes: number
  readonly writeBytes: number
  /** Bytes that read calls returned, from files and sockets. */
  readonly readAnyBytes: number
}

/** Reads the usage of `pid` now. Figures that this system does not give are NaN. */
export function readProcessUsage(pid: number): ProcessUsage {
  const stat = readOrEmpty(`/proc/${pid}/stat`)
  // The command name may hold spaces and parentheses: fields count from the last ')'.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = readOrEmpty(`/proc/${pid}/status`)
  const io = readOrEmpty(`/proc/${pid}/io`)
  return {
    userSeconds: Number(fields[11] ?? Number.NaN) / TICKS_PER_SECOND,
    systemSeconds: Number(fields[12] ?? Number.NaN) / TICKS_PER_SECOND,
    rssBytes: numberAfter(status, 'VmRSS:') * 1024,
    rssPeakBytes: numberAfter(status, 'VmHWM:') * 1024,
    threadCount: numberAfter(status, 'Threads:'),
    readBytes: numberAfter(io, '\nread_bytes:'),
    writeBytes: numberAfter(io, '\nwrite_bytes:'),
    readAnyBytes: numberAfter(io, 'rchar:'),
  }
}

/** CPU seconds, user and system together, spent between two readings. */
export function cpuSecondsBetween(start: ProcessUsage, end: ProcessUsage): number {
  return end.userSeconds + end.systemSeconds - start.userSeconds - start.systemSeconds
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function numberAfter(text: string, label: string): number {
  const at = text.indexOf(label)
  return at < 0 ? Number.NaN : Number.parseInt(text.slice(at + label.length), 10)
}
