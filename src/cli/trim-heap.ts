/**
 * Gives back the memory that starting took. Main thread of `odradek start`, once.
 *
 * Loading modules makes V8 grow its young generation, and an idle broker has no garbage to make it shrink again:
 * measured 107 MB resident after start, 97 MB after one full collection (20 to 50 ms). A library must not do this to
 * its host program, so it is the command's business.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

type Collect = (options: { type: 'major'; execution: 'sync'; flavor: 'last-resort' }) => void

/** Collects once after `delayMs`, unless the process has grown busy by then: `isIdle` decides. */
export function trimHeapLater(delayMs: number, isIdle: () => boolean): void {
  const trim = (): void => {
    if (!isIdle()) return
    setFlagsFromString('--expose-gc')
    const collect = runInNewContext('gc') as Collect | undefined
    setFlagsFromString('--no-expose-gc')
    collect?.({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  }
  setTimeout(trim, delayMs).unref()
}
