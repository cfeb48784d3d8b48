/** The media types of REST Proxy v2, and which of those on offer a client wants. Pure functions. */
import { restProblem } from './rest-problem.ts'

/** Of what holds no records. */
export const v2Type = 'application/vnd.kafka.v2+json'
export const jsonType = 'application/vnd.kafka.json.v2+json'
export const binaryType = 'application/vnd.kafka.binary.v2+json'
/** The first is what a client gets that does not mind. */
const plainTypes = [v2Type, 'application/vnd.kafka+json', 'application/json']
/** Formats that need a registry of schemas. */
export const schemaTypes = ['avro', 'protobuf', 'jsonschema'].map(
  format => `application/vnd.kafka.${format}.v2+json`,
)

/** Request bodies that hold no records. */
export const requestTypes = [...plainTypes, jsonType, binaryType]

/** @returns the type of an answer that holds no records. @throws HttpProblem 406 */
export function answerType(accept: string | undefined): string {
  const type = negotiated(accept, [...plainTypes, jsonType, binaryType])
  if (type !== null) return type
  // A browser shows it, where it would only save the other.
  if (accept?.includes('text/html')) return 'application/json'
  throw restProblem(
    406,
    `none of the types asked for can be given; there are ${plainTypes.join(', ')}`,
  )
}

/**
 * The most wanted of the types on offer; among equals, the first one offered.
 * @returns null when none of them is
 */
export function negotiated(accept: string | undefined, offered: readonly string[]): string | null {
  if (accept === undefined || accept.trim() === '') return offered[0]
  let best: string | null = null
  let bestQuality = 0
  const ranges = accept.split(',').map(rangeOf)
  for (const type of offered) {
    const quality = qualityOf(type, ranges)
    if (quality <= bestQuality) continue
    best = type
    bestQuality = quality
  }
  return best
}

interface Range {
  readonly type: string
  readonly quality: number
}

function rangeOf(text: string): Range {
  const [type, ...parameters] = text.split(';').map(part => part.trim().toLowerCase())
  const quality = parameters.find(parameter => parameter.startsWith('q='))
  return { type, quality: quality === undefined ? 1 : Number(quality.slice(2)) || 0 }
}

/** By the closest range that names it. */
function qualityOf(type: string, ranges: readonly Range[]): number {
  for (const wanted of [type, `${type.slice(0, type.indexOf('/'))}/*`, '*/*']) {
    const range = ranges.find(one => one.type === wanted)
    if (range !== undefined) return range.quality
  }
  return 0
}
