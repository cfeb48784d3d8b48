/** Numbers for people. Browser. */

const counts = new Intl.NumberFormat('en', { maximumFractionDigits: 0 })
const short = new Intl.NumberFormat('en', {
  notation: 'compact',
  maximumSignificantDigits: 3,
})
const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** What is not known. */
export const unknown = '–'

/** @param {number | string | null} value offsets come as text */
export function count(value) {
  if (value === null) return unknown
  return counts.format(typeof value === 'string' ? BigInt(value) : value)
}

/** @param {number | null} value */
export function bytes(value) {
  if (value === null) return unknown
  let rest = value
  let unit = 0
  while (rest >= 1000 && unit < units.length - 1) {
    rest /= 1024
    unit++
  }
  const digits = unit === 0 || rest >= 100 ? 0 : rest >= 10 ? 1 : 2
  return `${rest.toFixed(digits)} ${units[unit]}`
}

/** Per second. @param {number | null | undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return unknown
  return value === 0 ? '0' : `${short.format(value)}/s`
}

/** Per second. @param {number | null | undefined} value */
export function byteRate(value) {
  if (value === null || value === undefined) return unknown
  return value === 0 ? '0' : `${bytes(value)}/s`
}

/** @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86_400)} days`
}

/** @param {number} n @param {string} noun */
export function some(n, noun) {
  return `${count(n)} ${noun}${n === 1 ? '' : 's'}`
}
