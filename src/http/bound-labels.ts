/**
 * Metrics whose labels clients choose (names of groups): beyond a number of them the rest is one series, so that nobody
 * can fill the memory of whoever scrapes. Pure.
 */

/** What those are called that have no series of their own. */
const rest = 'other'

/** The first `labelsMax` as they are, the sum of all others behind them. */
export function* boundLabels(
  values: Iterable<readonly [label: string, value: number]>,
  labelsMax: number,
): Generator<readonly [label: string, value: number], void, undefined> {
  let count = 0
  let others = 0
  for (const row of values) {
    if (count++ < labelsMax) yield row
    else others += row[1]
  }
  if (count > labelsMax) yield [rest, others]
}
