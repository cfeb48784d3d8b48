/**
 * Where worker files lie beside this one: `../workers/<name>` with this file's own extension, so that a checkout runs
 * the TypeScript sources and the published package its JavaScript. The one place that knows; any thread.
 */
import { extname } from 'node:path'
import type { TaskName } from './contracts/tasks.ts'

export type WorkerName = 'partition-owner' | `tasks/${TaskName}`

/** @returns URL for `new Worker` or the task pool. `src` names workers this way only, it never imports them. */
export function workerUrl(name: WorkerName): URL {
  const extension = extname(new URL(import.meta.url).pathname)
  return new URL(`../workers/${name}${extension}`, import.meta.url)
}
