/**
 * Mistakes for a broker to make, so that the oracle is seen to catch them. Loaded into the broker's main thread with
 * --import; FUZZ_PLANT names one.
 */
import { isMainThread } from 'node:worker_threads'
import type { ApiRow } from '../../src/apis/api-row.ts'
import { describeCluster } from '../../src/apis/describe-cluster.ts'
import { heartbeat } from '../../src/apis/heartbeat.ts'
import { listGroups } from '../../src/apis/list-groups.ts'
import { offsetFetch } from '../../src/apis/offset-fetch.ts'

/** A row whose handler may be replaced. */
type Open<R> =
  R extends ApiRow<infer Req, infer Res> ? { handle: ApiRow<Req, Res>['handle'] } : never
const open = <Req, Res>(row: ApiRow<Req, Res>) => row as Open<ApiRow<Req, Res>>
const hoard: Buffer[] = []

const plants: Readonly<Record<string, () => void>> = {
  /** Ends the process: nobody catches what a synchronous handler throws. */
  'throws at once': () => {
    open(describeCluster).handle = () => {
      throw new TypeError('planted')
    }
  },
  /** Taken for a malformed request: the connection is closed. */
  'throws a RangeError': () => {
    open(describeCluster).handle = () => {
      throw new RangeError('planted')
    }
  },
  'rejects later': () => {
    open(describeCluster).handle = () => Promise.reject(new Error('planted'))
  },
  'answers with a code that does not exist': () => {
    open(heartbeat).handle = () => ({ throttleTimeMs: 0, errorCode: 999 })
  },
  'keeps memory of every request': () => {
    const { handle } = listGroups
    open(listGroups).handle = (...args) => {
      hoard.push(Buffer.alloc(256 * 1024, 1))
      return handle(...args)
    }
  },
  'keeps requests open': () => {
    open(listGroups).handle = () => undefined
  },
  'forgets what others committed': () => {
    let attacks = 0
    const { handle } = offsetFetch
    const { handle: list } = listGroups
    open(listGroups).handle = (...args) => {
      attacks++
      return list(...args)
    }
    open(offsetFetch).handle = (request, call, services) =>
      attacks > 20
        ? { throttleTimeMs: 0, topics: [], errorCode: 0, groups: [] }
        : handle(request, call, services)
  },
}

const plant = plants[process.env.FUZZ_PLANT ?? '']
if (isMainThread && plant !== undefined) plant()
