/**
 * Where the files of threads lie: `../workers/<name>`, or the broker's own, with this file's own extension, so that a
 * checkout runs the TypeScript sources and the published package its JavaScript. The one place that knows; any thread.
 */
import { extname } from 'node:path'
import type { TaskName } from './contracts/tasks.ts'

export type WorkerName = 'partition-owner' | 'broker-thread' | `tasks/${TaskName}`

/** @returns URL for `new Worker` or the task pool. `src` names workers this way only, it never imports them. */
export function workerUrl(name: WorkerName): URL {
  const extension = extname(new URL(import.meta.url).pathname)
  const path = name === 'broker-thread' ? `./broker-thread/${name}` : `../workers/${name}`
  return new URL(path + extension, import.meta.url)
}
