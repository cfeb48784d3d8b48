/**
 * Limits of a child process by control groups of its own, version 1 or 2: memory (page cache included) and how fast it
 * reads from the disk of a directory. Linux, root.
 *
 *   version 1   /sys/fs/cgroup/memory/odradek-bench-PID, /sys/fs/cgroup/blkio/odradek-bench-PID
 *   version 2   /sys/fs/cgroup/odradek-bench-PID        (also where only some controllers are left to version 1)
 */
import { existsSync, mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Limits {
  readonly memoryBytes?: number
  readonly readBytesPerSecond?: number
}

const root = '/sys/fs/cgroup'

/** Moves `pid` under the limits. What it returns removes the groups, once the process is gone. Throws without root. */
export function limit(pid: number, directory: string, limits: Limits): () => Promise<void> {
  const groups: string[] = []
  const name = `odradek-bench-${pid}`
  const set = (controller: 'memory' | 'blkio', file: string, fileV2: string, value: string) => {
    const isV1 = existsSync(join(root, controller))
    const parent = isV1 ? join(root, controller) : root
    const group = join(parent, name)
    if (!isV1) enable(controller === 'blkio' ? 'io' : controller)
    if (!groups.includes(group)) {
      mkdirSync(group, { recursive: true })
      groups.push(group)
    }
    writeFileSync(join(group, isV1 ? file : fileV2), value)
    writeFileSync(join(group, 'cgroup.procs'), String(pid))
  }
  try {
    const { memoryBytes, readBytesPerSecond } = limits
    if (memoryBytes !== undefined) {
      set('memory', 'memory.limit_in_bytes', 'memory.max', String(memoryBytes))
    }
    if (readBytesPerSecond !== undefined) {
      const device = deviceOf(directory)
      const isV1 = existsSync(join(root, 'blkio'))
      const value = isV1
        ? `${device} ${readBytesPerSecond}`
        : `${device} rbps=${readBytesPerSecond}`
      set('blkio', 'blkio.throttle.read_bps_device', 'io.max', value)
    }
  } catch (error) {
    throw new Error(`no control group, which needs Linux and root: ${(error as Error).message}`)
  }
  return () => removeAll(groups)
}

/** Lets groups below the root have the controller; it may have been so before. */
function enable(controller: string): void {
  writeFileSync(join(root, 'cgroup.subtree_control'), `+${controller}`)
}

/** major:minor of the block device. */
function deviceOf(directory: string): string {
  const { dev } = statSync(directory)
  const major = (dev >> 8) & 0xfff
  const minor = (dev & 0xff) | ((dev >> 12) & 0xfff00)
  return `${major}:${minor}`
}

/** Only an empty group can be removed; a process that has just ended may take a moment to be gone. */
async function removeAll(groups: readonly string[]): Promise<void> {
  for (const group of groups) {
    for (let attempt = 1; existsSync(group); attempt++) {
      try {
        rmdirSync(group)
      } catch (error) {
        if (attempt === 50) throw error
        await new Promise(resolve => setTimeout(resolve, 100))
      }
    }
  }
}
