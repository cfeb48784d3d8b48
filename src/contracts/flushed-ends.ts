/**
 * The bytes of `flushed-ends` in the data directory: what was proven on disk of every log when it was written, so that
 * a start after a crash can tell rot (below: it was whole once) from a torn end (above).
 *
 *   version 1
 *   SgtU1TUAQb6ogUCPgTUAAQ 0 1500 200        topic id, partition, flushed end, log start
 *   crc32c 39c73bcf                          of the lines above
 *
 * It names topic ids and not names: a topic that was deleted and made again has nothing in common with the one before.
 * The dispatcher writes it (src/partitions/recovery-checkpoint.ts); the simulation does, too.
 */
import { crc32c } from '../protocol/crc32c.ts'

export const FLUSHED_ENDS_FILE = 'flushed-ends'

/** Neither of the two offsets of a log ever goes back. */
export interface FlushedEnd {
  readonly topicId: string
  readonly partition: number
  /** Everything below was proven, by segments or by a journal. */
  readonly flushedEnd: number
  readonly logStart: number
}

/** As `flushedEndKey` says. */
export type FlushedEnds = ReadonlyMap<string, FlushedEnd>

const HEAD = 'version 1\n'
const linePattern = /^([\w-]{22}) (\d{1,5}) (\d{1,16}) (\d{1,16})$/
const tailPattern = /^crc32c ([0-9a-f]{8})\n$/
const TAIL_CHARS = 'crc32c 00000000\n'.length

export function flushedEndKey(topicId: string, partition: number): string {
  return `${topicId}-${partition}`
}

export function encodeFlushedEnds(ends: readonly FlushedEnd[]): string {
  const lines = ends.map(({ topicId, partition, flushedEnd, logStart }) => {
    return `${topicId} ${partition} ${flushedEnd} ${logStart}\n`
  })
  const text = `${HEAD}${lines.join('')}`
  return `${text}crc32c ${checksum(text)}\n`
}

/** Empty when the text is not whole: then nothing is known. */
export function decodeFlushedEnds(text: string): FlushedEnds {
  const ends = new Map<string, FlushedEnd>()
  const body = text.slice(0, -TAIL_CHARS)
  const sum = tailPattern.exec(text.slice(-TAIL_CHARS))?.[1]
  if (!body.startsWith(HEAD) || sum !== checksum(body)) return ends
  for (const line of body.slice(HEAD.length).split('\n')) {
    const match = linePattern.exec(line)
    if (match === null) continue
    const [, topicId, partition, flushedEnd, logStart] = match
    const offsets = { flushedEnd: Number(flushedEnd), logStart: Number(logStart) }
    ends.set(flushedEndKey(topicId, Number(partition)), {
      topicId,
      partition: Number(partition),
      ...offsets,
    })
  }
  return ends
}

function checksum(text: string): string {
  return crc32c(Buffer.from(text, 'latin1')).toString(16).padStart(8, '0')
}
