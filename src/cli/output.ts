/** What commands print: lines, tables for people, JSON for programs. */

/** Columns as wide as needed, without lines; the heading in bold on a terminal. */
export async function printTable<Row>(
  rows: readonly Row[],
  columns: readonly (readonly [heading: string, cell: (row: Row) => string | number])[],
): Promise<void> {
  const [{ default: Table }, { default: picocolors }] = await Promise.all([
    import('cli-table3'),
    import('picocolors'),
  ])
  // picocolors takes CI for a terminal, but there, too, a pipe wants plain text.
  const isColored = picocolors.isColorSupported && process.stdout.isTTY === true
  const colors = picocolors.createColors(isColored)
  const edges = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left']
  const lines = [
    ...edges,
    'bottom-right',
    'left',
    'left-mid',
    'mid',
    'mid-mid',
    'right',
    'right-mid',
  ]
  const table = new Table({
    head: columns.map(([heading]) => colors.bold(heading.toUpperCase())),
    chars: { ...Object.fromEntries(lines.map(line => [line, ''])), middle: '  ' },
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [] },
  })
  for (const row of rows) table.push(columns.map(([, cell]) => plain(String(cell(row)))))
  print(table.toString().replace(/ +$/gm, ''))
}

/** Names come from clients: what they hold must not steer the terminal. */
export function plain(text: string): string {
  return text.replace(/\p{Cc}/gu, '?')
}

export function count(n: number, noun: string): string {
  return `${n} ${noun}${n === 1 ? '' : 's'}`
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value))
}
