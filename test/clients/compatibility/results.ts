/**
 * What the compatibility runs found: kept in results.json, of which the table in docs/compatibility.md is made. A run
 * with `--write` replaces the results of the clients that are there and leaves the others.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'

/** `failed` is never recorded. */
export type Outcome = 'passed' | 'failed' | { readonly cannot: string }

export interface ClientResult {
  readonly id: string
  readonly title: string
  /** As the client tells it. */
  readonly version: string
  /** By scenario id. */
  readonly outcomes: Readonly<Record<string, Outcome>>
}

export interface AbsentClient {
  readonly id: string
  readonly title: string
  readonly missing: readonly [what: string, cure: string]
}

interface Row {
  readonly id: string
  readonly title: string
}

const resultsFile = fileURLToPath(new URL('results.json', import.meta.url))
export const documentFile = fileURLToPath(
  new URL('../../../docs/compatibility.md', import.meta.url),
)

export async function recordedResults(): Promise<readonly ClientResult[]> {
  return JSON.parse(await readFile(resultsFile, 'utf8')) as ClientResult[]
}

/** @param order ids of all clients, as the table has them */
export async function recordResults(
  found: readonly ClientResult[],
  order: readonly string[],
  scenarios: readonly Row[],
): Promise<void> {
  const recorded = await recordedResults().catch(() => [])
  const all = new Map([...recorded, ...found].map(result => [result.id, result]))
  const results = order.flatMap(id => all.get(id) ?? [])
  await writeFile(resultsFile, `${JSON.stringify(results, null, 2)}\n`)
  const text = await readFile(documentFile, 'utf8')
  await writeFile(documentFile, withTable(text, table(results, scenarios)))
}

const begin = '<!-- Written by `npm run compatibility -- --write`. -->'
const end = '<!-- End of the table. -->'

/** @returns the document with another table. @throws when it has no place for one */
export function withTable(text: string, content: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new Error(`docs/compatibility.md lacks ${begin} and ${end}`)
  return `${text.slice(0, from)}${begin}\n\n${content}\n${text.slice(to)}`
}

/** Scenarios by clients; what a client cannot do has a number, which the list below explains. */
export function table(results: readonly ClientResult[], scenarios: readonly Row[]): string {
  const reasons: string[] = []
  const cell = (outcome: Outcome | undefined) => {
    if (outcome === undefined) return ''
    if (outcome === 'passed') return 'yes'
    if (outcome === 'failed') return '**failed**'
    if (!reasons.includes(outcome.cannot)) reasons.push(outcome.cannot)
    return `– (${reasons.indexOf(outcome.cannot) + 1})`
  }
  const names = results.map(({ title, version }) => `${title} ${version}`)
  const rows = scenarios.map(({ id, title }) => [
    title,
    ...results.map(({ outcomes }) => cell(outcomes[id])),
  ])
  const lines = [['', ...names], ['---', ...names.map(() => '---')], ...rows]
  const notes = reasons.map((reason, i) => `${i + 1}. ${reason}.\n`).join('')
  return `${lines.map(line => `| ${line.join(' | ')} |\n`).join('')}\n${notes}`
}

/** @returns what differs between a run and what is recorded, one line each. */
export function differences(
  found: readonly ClientResult[],
  recorded: readonly ClientResult[],
): string[] {
  return found.flatMap(({ id, title, outcomes }) => {
    const before = recorded.find(one => one.id === id)?.outcomes
    if (before === undefined) return [`${title}: nothing is recorded`]
    const ids = new Set([...Object.keys(outcomes), ...Object.keys(before)])
    return [...ids].flatMap(scenario => {
      const [now, then] = [outcomes[scenario], before[scenario]].map(one => JSON.stringify(one))
      return now === then ? [] : [`${title}: ${scenario} is ${now}, recorded ${then}`]
    })
  })
}
