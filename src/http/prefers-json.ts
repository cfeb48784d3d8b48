/** Content negotiation between a page and its data (RFC 9110, 12.5.1), for the one route that has both. Pure. */

/** An Accept header longer than this is not looked at: nobody needs that many types. */
const charsMax = 1000

/**
 * @returns whether `application/json` is wanted more than `text/html`. Whoever takes both alike, or says nothing, gets
 *   the page: it is what is at /.
 */
export function prefersJson(accept: string | undefined): boolean {
  if (accept === undefined || accept.length > charsMax) return false
  return weight(accept, 'application', 'json') > weight(accept, 'text', 'html')
}

/** 0 to 1: of the range that fits best. */
function weight(accept: string, type: string, subtype: string): number {
  const ranges = [`${type}/${subtype}`, `${type}/*`, '*/*']
  let best = ranges.length
  let found = 0
  for (const part of accept.toLowerCase().split(',')) {
    const [range, ...parameters] = part.split(';').map(word => word.trim())
    const rank = ranges.indexOf(range)
    if (rank === -1 || rank >= best) continue
    best = rank
    found = quality(parameters)
  }
  return found
}

function quality(parameters: readonly string[]): number {
  const q = parameters.find(parameter => parameter.startsWith('q='))
  if (q === undefined) return 1
  const value = Number(q.slice(2))
  return value >= 0 && value <= 1 ? value : 0
}
