/**
 * Replaces the records of a range of offsets by one new file, so that a crash leaves the old ones or the new one and
 * never a mix. Owner threads; the steps of a decided swap are repeated at open, before anything is judged.
 *
 *   <base20>-<end20>.log.cleaned     being written, undecided: dropped at open
 *   <base20>-<end20>.log.swap        decided: stands for all records of [base, end)
 *
 *   write .cleaned, sync it -> rename to .swap, sync directory     (the decision)
 *     -> unlink the old segments of the range but <base>.log, and all indexes of the range, sync directory
 *     -> rename .swap to <base20>.log, which replaces the old one, sync directory
 *
 * Each step may be done again: what it does has happened or has not. A tail that is copied forward after an unclean
 * stop (copy-forward.ts) needs no decision, its new file holds what the old one holds: it is renamed in one step.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { fileName, listLog, logFilePath, unlinkIfThere } from './files.ts'
import { type Steps, synced } from './steps.ts'

/** Offsets [baseOffset, endOffset). */
export interface SwapRange {
  readonly baseOffset: number
  readonly endOffset: number
}

export type SwapStage = 'cleaned' | 'swap'

const pattern = /^(\d{20})-(\d{20})\.log\.(cleaned|swap)$/

export function swapFileName(range: SwapRange, stage: SwapStage): string {
  const base = fileName(range.baseOffset, 'log').slice(0, 20)
  return `${base}-${fileName(range.endOffset, 'log')}.${stage}`
}

/** Work in progress of the range; the indexes of it, if any, are caches with other names. */
export function cleanedPath(directory: string, range: SwapRange): string {
  return `${directory}/${swapFileName(range, 'cleaned')}`
}

export function swapPath(directory: string, range: SwapRange): string {
  return `${directory}/${swapFileName(range, 'swap')}`
}

/** Null for every other name. */
export function parseSwapName(name: string): (SwapRange & { readonly stage: SwapStage }) | null {
  const match = pattern.exec(name)
  if (match === null) return null
  const [baseOffset, endOffset] = [Number(match[1]), Number(match[2])]
  const isSane = Number.isSafeInteger(endOffset) && baseOffset <= endOffset
  return isSane ? { baseOffset, endOffset, stage: match[3] as SwapStage } : null
}

/**
 * For the second step: what the decided swap replaces, the `old` segments by their base offsets, except `<base>.log`
 * itself, and the indexes of all of it. Some may be missing. The directory must be synced once they are unlinked.
 */
export function replacedPaths(
  directory: string,
  { baseOffset }: SwapRange,
  old: readonly number[],
): string[] {
  // A crash may have left the first one's indexes without it.
  return [...new Set([baseOffset, ...old])].flatMap(offset => {
    const indexes = [
      logFilePath(directory, offset, 'index'),
      logFilePath(directory, offset, 'timeindex'),
    ]
    return offset === baseOffset ? indexes : [...indexes, logFilePath(directory, offset, 'log')]
  })
}

/** Third step: the new file takes its place. The directory must be synced afterwards. */
export function putSwapInPlace(disk: Disk, directory: string, range: SwapRange): void {
  disk.rename(swapPath(directory, range), logFilePath(directory, range.baseOffset, 'log'))
}

/** All steps behind the decision. */
function* finishSwap(disk: Disk, directory: string, range: SwapRange): Steps<void> {
  const { baseOffset, endOffset } = range
  const { log } = listLog(disk, directory)
  const old = log.filter(offset => offset >= baseOffset && offset < endOffset)
  for (const path of replacedPaths(directory, range, old)) unlinkIfThere(disk, path)
  yield* synced([directory])
  putSwapInPlace(disk, directory, range)
  yield* synced([directory])
}

/**
 * At open: finishes what was decided and drops what was not. Returns how many swaps were finished. Throws as the disk
 * does; nothing may be read then. A decision that a crash made visible without its sync counts: its file was synced.
 */
export function* finishSwaps(
  disk: Disk,
  directory: string,
  names = disk.list(directory),
): Steps<number> {
  let finished = 0
  for (const name of names) {
    const found = parseSwapName(name)
    if (found === null) continue
    if (found.stage === 'cleaned') {
      disk.unlink(`${directory}/${name}`)
      continue
    }
    // The rename may be known to this process only: the old files must not go before it is durable.
    yield* synced([directory])
    yield* finishSwap(disk, directory, found)
    finished++
  }
  return finished
}
