/**
 * Real log lines for tests: the loghub samples (LogPAI) where they lie beside the checkout, else a small committed
 * corpus that is as awkward: CR LF ends, empty lines, non-ASCII bytes, a very long line, no last newline.
 *
 * A line is what lies between two LF bytes: a CR stays in it, the last one needs no LF, and the empty rest after a
 * final LF is no line. `odradek produce` and kcat split the same way.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface CorpusFile {
  readonly name: string
  readonly path: string
  readonly bytes: Buffer
  /** Views of `bytes`, without their LF. */
  readonly lines: readonly Buffer[]
}

export interface Corpus {
  readonly origin: 'loghub' | 'committed'
  /** Sorted by name. */
  readonly files: readonly CorpusFile[]
}

const committedDirectory = fileURLToPath(new URL('../fixtures/corpus/', import.meta.url))
const loghubDirectory = fileURLToPath(new URL('../../../shared/data/loghub/', import.meta.url))

/** @returns the loghub files if they are there, else the committed corpus. */
export function loadCorpus(): Corpus {
  const loghub = existsSync(loghubDirectory) ? readLogs(loghubDirectory) : []
  if (loghub.length > 0) return { origin: 'loghub', files: loghub }
  return loadCommittedCorpus()
}

/** @returns the committed corpus, the same on every machine. */
export function loadCommittedCorpus(): Corpus {
  return { origin: 'committed', files: readLogs(committedDirectory) }
}

/** @returns the lines of a corpus, file after file. */
export function linesOf(corpus: Corpus): Buffer[] {
  return corpus.files.flatMap(file => file.lines)
}

/** @returns views of the bytes between LFs. */
export function splitLines(bytes: Buffer): Buffer[] {
  const lines: Buffer[] = []
  let start = 0
  while (start < bytes.length) {
    const lineFeed = bytes.indexOf(0x0a, start)
    const end = lineFeed < 0 ? bytes.length : lineFeed
    lines.push(bytes.subarray(start, end))
    start = end + 1
  }
  return lines
}

/** @returns lines written out again, each with an LF: what a consumer that prints them prints. */
export function joinLines(lines: readonly Uint8Array[]): Buffer {
  const lineFeed = Buffer.from('\n')
  return Buffer.concat(lines.flatMap(line => [line, lineFeed]))
}

function readLogs(directory: string): CorpusFile[] {
  const names = readdirSync(directory).filter(name => name.endsWith('.log'))
  return names.sort().map(name => {
    const path = join(directory, name)
    const bytes = readFileSync(path)
    return { name, path, bytes, lines: splitLines(bytes) }
  })
}
