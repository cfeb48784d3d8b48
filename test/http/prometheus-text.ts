/**
 * A small strict parser of Prometheus' text format 0.0.4, written from its specification (Prometheus documentation,
 * "Exposition formats"), as the independent reader of what /metrics writes.
 */
export interface Sample {
  readonly name: string
  readonly labels: ReadonlyMap<string, string>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: Sample[]
}

const sampleLine =
  /^(?<name>[a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(?<labels>.*)\})? (?<value>[+-]?(?:Inf|NaN|[0-9.eE+-]+))$/s
const labelPair = /(?<name>[a-zA-Z_][a-zA-Z0-9_]*)="(?<value>(?:[^"\\\n]|\\["\\n])*)"(?:,|$)/gy
const suffixes: ReadonlyMap<string, readonly string[]> = new Map([
  ['histogram', ['_bucket', '_sum', '_count']],
])

/** @throws Error naming the line that breaks the format. */
export function parsePrometheus(text: string): Map<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no line feed')
  const families = new Map<string, Family>()
  const seen = new Set<string>()
  let help: { name: string; text: string } | null = null
  let current: Family | null = null
  for (const line of text.slice(0, -1).split('\n')) {
    const [hash, keyword, name, ...rest] = line.split(' ')
    if (line === '') continue
    if (hash === '#' && keyword === 'HELP') help = { name, text: rest.join(' ') }
    else if (hash === '#' && keyword === 'TYPE') {
      if (families.has(name)) throw new Error(`second TYPE of ${name}`)
      if (help?.name !== name) throw new Error(`no HELP before TYPE of ${name}`)
      current = { name, type: rest.join(' '), help: help.text, samples: [] }
      families.set(name, current)
    } else {
      const sample = parseSample(line)
      if (current === null || !belongs(sample.name, current)) {
        throw new Error(`sample outside of its family: ${line}`)
      }
      const identity = line.slice(0, line.lastIndexOf(' '))
      if (seen.has(identity)) throw new Error(`sample given twice: ${line}`)
      seen.add(identity)
      current.samples.push(sample)
    }
  }
  return families
}

function belongs(name: string, family: Family): boolean {
  const endings = suffixes.get(family.type) ?? ['']
  return endings.some(ending => name === family.name + ending)
}

function parseSample(line: string): Sample {
  const parts = sampleLine.exec(line)?.groups
  if (parts === undefined) throw new Error(`not a sample: ${line}`)
  const labels = new Map<string, string>()
  let end = 0
  for (const match of (parts.labels ?? '').matchAll(labelPair)) {
    labels.set(match.groups?.name ?? '', match.groups?.value ?? '')
    end = match.index + match[0].length
  }
  if (end !== (parts.labels ?? '').length) throw new Error(`malformed labels: ${line}`)
  const value = Number(parts.value.replace('Inf', 'Infinity'))
  return { name: parts.name, labels, value }
}
