/**
 * The project's own source files, read and parsed for style checks (test/tidy.test.ts). The parser is the one vitest
 * brings along (vite's parseAst), so functions, imports and calls are found by grammar and not by pattern.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAst } from 'vitest/node'

export const root = fileURLToPath(new URL('../..', import.meta.url))

export interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [key: string]: unknown
}

export interface SourceFile {
  /** Relative to the project root, with slashes: `src/net/connection.ts`. */
  readonly path: string
  readonly text: string
  readonly lines: readonly string[]
  /** Every syntax node, parents before children. */
  readonly nodes: readonly { node: Node; parent: Node | null }[]
}

/** Folders that are no source: of tools, of a broker that ran here, of a version control. */
const skipped = new Set(['node_modules', 'dist', 'coverage', 'results', 'data', '.git'])

/** Paths of all files below `folder` (relative to the root) that end in one of `extensions`, sorted. */
export function filesBelow(folder: string, extensions: readonly string[]): string[] {
  if (!existsSync(join(root, folder))) return []
  const found: string[] = []
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    if (entry.isDirectory() && !skipped.has(entry.name)) found.push(...filesBelow(path, extensions))
    else if (entry.isFile() && extensions.some(end => entry.name.endsWith(end))) found.push(path)
  }
  return found.sort()
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string'

function collect(node: Node, parent: Node | null, into: { node: Node; parent: Node | null }[]) {
  into.push({ node, parent })
  for (const value of Object.values(node)) {
    if (isNode(value)) collect(value, node, into)
    else if (Array.isArray(value)) {
      for (const child of value) if (isNode(child)) collect(child, node, into)
    }
  }
}

/** Reads and parses one file. Throws, with the path, on a syntax error. */
export function readSource(path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8')
  try {
    return parseSource(path, text)
  } catch (error) {
    throw new Error(`${path} does not parse`, { cause: error })
  }
}

export function parseSource(path: string, text: string): SourceFile {
  const nodes: { node: Node; parent: Node | null }[] = []
  collect(parseAst(text, { lang: 'ts' }) as unknown as Node, null, nodes)
  return { path, text, lines: text.replace(/\n$/, '').split('\n'), nodes }
}

/** 1-based line of a character position. */
export function lineAt(file: SourceFile, position: number): number {
  let line = 1
  for (
    let i = file.text.indexOf('\n');
    i >= 0 && i < position;
    i = file.text.indexOf('\n', i + 1)
  ) {
    line += 1
  }
  return line
}

/** The text without what stands in quotes and regular expressions; its lines keep their numbers. */
export function withoutLiterals(file: SourceFile): string {
  let text = ''
  let from = 0
  for (const { node } of file.nodes) {
    const isText = node.type === 'TemplateElement' || typeof node.value === 'string'
    const isLiteral = node.type === 'Literal' || node.type === 'TemplateElement'
    if (!isLiteral || node.start < from || (!isText && node.regex === undefined)) continue
    text += file.text.slice(from, node.start)
    text += file.text.slice(node.start, node.end).replace(/[^\n]+/g, '')
    from = node.end
  }
  return text + file.text.slice(from)
}

export interface Import {
  readonly line: number
  /** As written: `../protocol/bytes.ts`, `node:fs`, `zod`. */
  readonly specifier: string
  /** Relative imports: path from the project root; else null. */
  readonly target: string | null
}

const importTypes = new Set([
  'ImportDeclaration',
  'ExportNamedDeclaration',
  'ExportAllDeclaration',
  'ImportExpression',
  'TSImportType',
])

/** Everything the file imports: statically, dynamically by a literal, as a type, or re-exported. */
export function importsOf(file: SourceFile): Import[] {
  const imports: Import[] = []
  for (const { node } of file.nodes) {
    if (!importTypes.has(node.type) || !isNode(node.source)) continue
    const specifier = node.source.value
    if (typeof specifier !== 'string') continue
    const target = specifier.startsWith('.') ? posix.join(dirname(file.path), specifier) : null
    imports.push({ line: lineAt(file, node.start), specifier, target })
  }
  return imports
}

export interface FunctionSpan {
  readonly name: string
  readonly line: number
  readonly lines: number
}

const functionTypes = new Set([
  'FunctionDeclaration',
  'FunctionExpression',
  'ArrowFunctionExpression',
])

function nameOf(node: Node, parent: Node | null): string {
  for (const holder of [node.id, parent?.key, parent?.id]) {
    if (isNode(holder) && typeof holder.name === 'string') return holder.name
  }
  return '(anonymous)'
}

/** The name of what a call calls: `describe`, `server.listen` -> `listen`, `describe.each([..])` -> `describe`. */
export function calleeName(call: Node): string {
  let callee: unknown = call.callee
  while (isNode(callee)) {
    if (callee.type === 'Identifier') return String(callee.name)
    if (callee.type === 'CallExpression') callee = callee.callee
    else if (callee.type === 'MemberExpression' && isNode(callee.object)) {
      const { object, property } = callee
      if (object.type === 'Identifier' && object.name === 'describe') return 'describe'
      return isNode(property) && typeof property.name === 'string' ? property.name : ''
    } else return ''
  }
  return ''
}

/** Every function with the lines it spans. Bodies of `describe...` are lists of tests, not functions, and left out. */
export function functionsOf(file: SourceFile): FunctionSpan[] {
  const spans: FunctionSpan[] = []
  for (const { node, parent } of file.nodes) {
    if (!functionTypes.has(node.type)) continue
    if (parent?.type === 'CallExpression' && calleeName(parent).startsWith('describe')) continue
    const line = lineAt(file, node.start)
    const lines = lineAt(file, node.end) - line + 1
    spans.push({ name: nameOf(node, parent), line, lines })
  }
  return spans
}

/** Files reachable by imports from `entries`. */
export function reachable(files: ReadonlyMap<string, SourceFile>, entries: readonly string[]) {
  const seen = new Set<string>()
  const open = [...entries]
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    const file = files.get(path)
    if (file === undefined || seen.has(path)) continue
    seen.add(path)
    for (const { target } of importsOf(file)) if (target !== null) open.push(target)
  }
  return seen
}
