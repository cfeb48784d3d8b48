/** Preloaded into a broker process: SIGUSR2 breaks its main thread as the variable BROKEN_BY_TEST says. */
import { isMainThread } from 'node:worker_threads'

if (isMainThread) process.on('SIGUSR2', () => breakNow(process.env.BROKEN_BY_TEST))

function breakNow(how: string | undefined): void {
  switch (how) {
    case 'throw':
      setImmediate(() => {
        throw new Error('broken by a test')
      })
      return
    case 'reject':
      void Promise.reject(new Error('broken by a test'))
      return
    case 'heap': {
      const hoard: string[] = []
      for (;;) hoard.push(`${hoard.length}`.repeat(100))
    }
  }
}
