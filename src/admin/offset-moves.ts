/**
 * Where a consumer group goes on reading when it is reset: from what was asked for to an offset that the log has. Pure;
 * the command line and the admin routes share it.
 */

/** Where to; `shift` counts from what is committed. */
export type Target =
  | { readonly kind: 'earliest' | 'latest' }
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'time'; readonly timeMs: number }
  | { readonly kind: 'shift'; readonly by: number }

/** What is known of a partition before anything is changed. */
export interface Standing {
  readonly topic: string
  readonly partition: number
  readonly committed: number | null
  readonly logStart: number
  readonly logEnd: number
  /** First offset from the wanted time on, -1 when there is none; null when no time is wanted. */
  readonly atTime: number | null
}

export interface Move {
  readonly topic: string
  readonly partition: number
  readonly before: number | null
  readonly after: number
  readonly logStart: number
  readonly logEnd: number
  /** Why it is not what was asked for; null when it is. */
  readonly note: string | null
}

/** Where one partition goes: always to an offset that its log has, or to its end. Pure. */
export function moveTo(target: Target, standing: Standing): Move {
  const { topic, partition, committed, logStart, logEnd, atTime } = standing
  const asked = askedOffset(target, standing)
  const after = Math.min(Math.max(asked, logStart), logEnd)
  let note: string | null = null
  if (target.kind === 'time' && atTime === -1) note = 'no record from then on: the end'
  else if (asked < logStart) note = `${asked} is before the start of the log`
  else if (asked > logEnd) note = `${asked} is beyond the end of the log`
  return { topic, partition, before: committed, after, logStart, logEnd, note }
}

function askedOffset(target: Target, standing: Standing): number {
  const { topic, partition, committed, logStart, logEnd, atTime } = standing
  switch (target.kind) {
    case 'earliest':
      return logStart
    case 'latest':
      return logEnd
    case 'offset':
      return target.offset
    case 'time':
      return atTime === null || atTime === -1 ? logEnd : atTime
    case 'shift':
      if (committed !== null) return committed + target.by
      throw new Error(
        `${topic}-${partition}: nothing is committed that could be shifted; say where to go`,
      )
  }
}

/** @returns null for text that names no place */
export function parseTarget(text: string): Target | null {
  // `odradek consume --from` calls them beginning and end.
  if (text === 'earliest' || text === 'beginning') return { kind: 'earliest' }
  if (text === 'latest' || text === 'end') return { kind: 'latest' }
  if (/^\d{1,15}$/.test(text)) return { kind: 'offset', offset: Number(text) }
  const timeMs = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(timeMs)) return { kind: 'time', timeMs }
  return null
}
