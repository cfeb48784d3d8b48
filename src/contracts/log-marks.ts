/**
 * The bytes of a log's `log-marks` file (workers/log/marks.ts says what it is for): owner threads write it, and the
 * adoption of a directory that Apache Kafka wrote does before any log is open.
 *
 *   version 1
 *   log-start 1500           first offset a client may read
 *   cleaned-end 1200         below it offsets may be missing
 *   crc32c 39c73bcf          of the lines above
 */
import { crc32c } from '../protocol/crc32c.ts'

export const LOG_MARKS_FILE = 'log-marks'

export interface MarkOffsets {
  readonly logStart: number
  readonly cleanedEnd: number
}

const pattern =
  /^(version 1\nlog-start (\d{1,16})\ncleaned-end (\d{1,16})\n)crc32c ([0-9a-f]{8})\n$/

export function encodeMarks({ logStart, cleanedEnd }: MarkOffsets): Buffer {
  const text = `version 1\nlog-start ${logStart}\ncleaned-end ${cleanedEnd}\n`
  return Buffer.from(`${text}crc32c ${checksum(text)}\n`, 'latin1')
}

/** Null when the bytes are not whole. */
export function decodeMarks(bytes: Buffer): MarkOffsets | null {
  const match = pattern.exec(bytes.toString('latin1'))
  if (match === null || checksum(match[1]) !== match[4]) return null
  const marks = { logStart: Number(match[2]), cleanedEnd: Number(match[3]) }
  return Number.isSafeInteger(marks.logStart) && Number.isSafeInteger(marks.cleanedEnd)
    ? marks
    : null
}

function checksum(text: string): string {
  return crc32c(Buffer.from(text, 'latin1')).toString(16).padStart(8, '0')
}
