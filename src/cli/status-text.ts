/** The status of a broker as lines and tables for people. */
import type { StatusJson } from '../http/status-routes.ts'
import { ranges } from './groups-describe.ts'
import { count, plain, print, printTable } from './output.ts'

type Topic = StatusJson['topics'][number]
type Worker = StatusJson['workers'][number]

/** Head, workers, headings: what a screen needs beside the topics. */
const otherLines = 9
/** More lines of reasons than this are only counted. */
const reasonsMax = 5
const rangesCharsMax = 24
const unknown = '-'
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** @param linesMax of the screen: topics that have no room on it are only counted, the busiest come first */
export async function printStatus(status: StatusJson, linesMax: number): Promise<void> {
  printHead(status)
  print('')
  await printTable(status.workers, [
    ['worker', ({ worker, up }) => `owner-${worker}${up ? '' : ' (down)'}`],
    ['load', ({ load }) => percent(load)],
    ['partitions', ({ partitions }) => partitions],
    ['in/s', ({ rates }) => perSecond(rates?.records_in_per_second)],
    ['bytes in/s', ({ rates }) => bytes(rates?.bytes_in_per_second)],
    ['out/s', ({ rates }) => perSecond(rates?.records_out_per_second)],
    ['bytes out/s', ({ rates }) => bytes(rates?.bytes_out_per_second)],
    ['flushes/s', ({ flushes_per_second }) => perSecond(flushes_per_second)],
    ['flush ms', ({ flush_mean_ms }) => flush_mean_ms ?? unknown],
  ])
  const room = Math.max(1, linesMax - otherLines - status.workers.length)
  const shown = status.topics.toSorted(byTraffic).slice(0, room)
  if (shown.length === 0) return print('\nno topics')
  print('')
  await printTable(shown.length < status.topics.length ? shown : status.topics, [
    ['topic', ({ topic }) => topic],
    ['messages', ({ records }) => records],
    ['stored', ({ size_bytes }) => bytes(size_bytes)],
    ['in/s', ({ rates }) => perSecond(rates?.records_in_per_second)],
    ['bytes in/s', ({ rates }) => bytes(rates?.bytes_in_per_second)],
    ['out/s', ({ rates }) => perSecond(rates?.records_out_per_second)],
    ['partitions', topic => held(topic, status.workers)],
  ])
  const rest = status.topics.length - shown.length
  if (rest > 0) print(`and ${count(rest, 'quieter topic')}`)
}

function printHead(status: StatusJson): void {
  const { version, broker, uptime_seconds, ready, rates } = status
  const state = ready ? 'ready' : 'NOT READY'
  const address = `${broker.host}:${broker.port}`
  print(plain(`odradek ${version}, broker ${broker.node_id} at ${address}, ${state}`))
  print(
    [
      `up ${duration(uptime_seconds)}`,
      `${perSecond(rates?.records_in_per_second)} messages/s in`,
      `${perSecond(rates?.records_out_per_second)} out`,
      `dispatcher ${percent(status.dispatcher_load)} busy`,
      count(status.kafka_connections, 'Kafka connection'),
      `${bytes(status.disk_free_bytes)} free`,
    ].join(', '),
  )
  for (const reason of status.reasons.slice(0, reasonsMax)) print(plain(reason))
  const rest = status.reasons.length - reasonsMax
  if (rest > 0) print(`and ${count(rest, 'more reason')}: GET /readyz has them`)
}

/** As `owner-0: 0-2,5  owner-1: 3-4`, or only how many; those that take no records by their state. */
function held({ partitions }: Topic, workers: readonly Worker[]): string {
  const parts = workers.flatMap(({ worker }) => {
    const mine = partitions.filter(partition => partition.worker === worker)
    const taking = mine.filter(({ state }) => state === 'online')
    const others = mine.filter(({ state }) => state !== 'online')
    const texts = others.map(({ partition, state }) => `${partition} ${state}`)
    const numbers = ranges(taking.map(({ partition }) => partition))
    if (taking.length > 0) {
      texts.unshift(numbers.length > rangesCharsMax ? count(taking.length, 'partition') : numbers)
    }
    return texts.length === 0 ? [] : `owner-${worker}: ${texts.join(', ')}`
  })
  return parts.join('  ')
}

function byTraffic(a: Topic, b: Topic): number {
  return traffic(b) - traffic(a)
}

function traffic({ rates }: Topic): number {
  return rates === null ? 0 : rates.bytes_in_per_second + rates.bytes_out_per_second
}

function percent(share: number | null): string {
  return share === null ? unknown : `${Math.round(share * 100)} %`
}

function perSecond(value: number | null | undefined): string {
  if (value === null || value === undefined) return unknown
  return value < 10 ? String(value) : String(Math.round(value))
}

function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined) return unknown
  let rest = value
  let unit = 0
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1024
    unit++
  }
  return `${rest.toFixed(unit === 0 || rest >= 100 ? 0 : 1)} ${units[unit]}`
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`
  return seconds < 172_800
    ? `${Math.floor(seconds / 3600)} h`
    : `${Math.floor(seconds / 86_400)} days`
}
