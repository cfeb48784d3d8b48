/**
 * Style as a test: what ARCHITECTURE.md and CONTRIBUTING.md say about layout, size and seams, checked on the tree.
 * Every rule lists the places that break it; the last tests plant violations, so that a rule that sees nothing fails.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { apiRows } from '../src/apis/index.ts'
import { type Lockfile, missingOptional } from './support/complete-lockfile.ts'
import {
  calleeName,
  filesBelow,
  functionsOf,
  importsOf,
  lineAt,
  type Node,
  parseSource,
  reachable,
  readSource,
  root,
  type SourceFile,
  withoutLiterals,
} from './support/source-tree.ts'

const FILE_LINES_MAX = 400
const FUNCTION_LINES_MAX = 70
const CODE_COLUMNS_MAX = 100
const COMMENT_COLUMNS_MAX = 120

const folders = ['src', 'workers', 'bench', 'config', 'test']
const files = new Map<string, SourceFile>()
for (const folder of folders) {
  for (const path of filesBelow(folder, ['.ts'])) files.set(path, readSource(path))
}
const all = [...files.values()]
const product = all.filter(({ path }) => !path.startsWith('test/'))
const startsWith = (...prefixes: string[]) =>
  all.filter(({ path }) => prefixes.some(prefix => path.startsWith(prefix)))
const read = (path: string) => readFileSync(join(root, path), 'utf8')

/** `path:line` of every line of `file` that `pattern` matches. */
function linesWith(file: { path: string; text: string }, pattern: RegExp): string[] {
  return file.text.split('\n').flatMap((line, index) => {
    const found = pattern.exec(line)
    return found === null ? [] : [`${file.path}:${index + 1} ${found[0]}`]
  })
}

/** Places where `matches` holds for a syntax node. */
function nodesWhere(file: SourceFile, matches: (node: Node, text: string) => boolean): string[] {
  return file.nodes
    .filter(({ node }) => matches(node, file.text.slice(node.start, node.end)))
    .map(({ node }) => `${file.path}:${lineAt(file, node.start)}`)
}

describe('size', () => {
  test(`no file has more than ${FILE_LINES_MAX} lines`, () => {
    const long = all.filter(({ lines }) => lines.length > FILE_LINES_MAX)
    expect(long.map(({ path, lines }) => `${path} ${lines.length}`)).toEqual([])
  })

  test(`no function has more than ${FUNCTION_LINES_MAX} lines`, () => {
    const long = all.flatMap(file =>
      functionsOf(file)
        .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
        .map(({ name, line, lines }) => `${file.path}:${line} ${name} ${lines}`),
    )
    expect(long).toEqual([])
  })

  test('no line is too wide: code 100 columns without the text in quotes, comments 120', () => {
    const wide = all.flatMap(file =>
      withoutLiterals(file)
        .split('\n')
        .flatMap((line, index) => {
          const columns = Array.from(line).length
          const columnsMax = /^\s*\/?\*|\/\//.test(line) ? COMMENT_COLUMNS_MAX : CODE_COLUMNS_MAX
          return columns > columnsMax ? [`${file.path}:${index + 1} ${columns}`] : []
        }),
    )
    expect(wide).toEqual([])
  })
})

describe('text', () => {
  const texts = [
    ...all,
    ...filesBelow('', ['.md', '.yaml', '.json', '.mjs', '.sh'])
      .concat(existsSync(join(root, '.ci/run')) ? ['.ci/run'] : [])
      .filter(path => !path.endsWith('package-lock.json'))
      .map(path => ({ path, text: read(path) })),
  ].filter(({ path }) => path !== 'test/tidy.test.ts')

  test('nothing is marked unfinished and no check is silenced', () => {
    const marks = /\b(TODO|FIXME|XXX)\b|@ts-(ignore|expect-error|nocheck)|biome-ignore|lint-disable/
    expect(texts.flatMap(file => linesWith(file, marks))).toEqual([])
  })

  test('no machine path stands in code or documents', () => {
    expect(texts.flatMap(file => linesWith(file, /\/work\/|\/root\/|\/home\/\w+\//))).toEqual([])
  })

  test('every product file opens with a comment that says what it owns', () => {
    const bare = product.filter(({ text }) => !/^(#!.*\n)?(\/\*\*|\/\/)/.test(text))
    expect(bare.map(({ path }) => path)).toEqual([])
  })
})

describe('documents', () => {
  test('documents name only files that exist', () => {
    const named = /`((?:src|workers|test|bench|config|docs|\.ci)\/[\w./-]*\w)`/g
    const missing = filesBelow('', ['.md'])
      .filter(path => path !== 'CHANGELOG.md')
      .flatMap(path =>
        [...read(path).matchAll(named)].map(match => ({ path, name: match[1] as string })),
      )
      .filter(({ name }) => !existsSync(join(root, name)))
    expect(missing.map(({ path, name }) => `${path}: ${name}`)).toEqual([])
  })

  test('docs/protocol.md lists every API with the versions that are served', () => {
    const served = apiRows().map(({ schema: { name, key, versions } }) => {
      return `| ${name} (${key}) | ${versions.join('–')} |`
    })
    const listed = read('docs/protocol.md').match(/^\| \w+ \(\d+\) \| [\d–]+ \|/gm)
    expect(listed?.toSorted()).toEqual(served.toSorted())
  })

  test('commands in documents name only files, folders and npm scripts that exist', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
    const isThere = (name: string) =>
      name.startsWith('npm run ')
        ? Object.hasOwn(scripts, name.replace(/^npm run (-s |--silent )?/, ''))
        : name.startsWith('bench/results') || existsSync(join(root, name))
    const named =
      /npm run (?:-s |--silent )?[\w:-]*\w|(?<![\w./-])(?:src|workers|test|bench|config)\/[\w./-]*\w/g
    const commands = filesBelow('', ['.md']).flatMap(path => {
      const fenced = [...read(path).matchAll(/^```(?:sh)?\n(.*?)^```$/gms)].map(([, text]) => text)
      const inline = [...read(path).matchAll(/`([^`\n]+)`/g)].map(([, text]) => text)
      return [...fenced, ...inline].map(text => ({ path, text }))
    })
    const missing = commands.flatMap(({ path, text }) =>
      (text.match(named) ?? []).filter(name => !isThere(name)).map(name => `${path}: ${name}`),
    )
    expect(commands.length).toBeGreaterThan(100)
    expect(missing).toEqual([])
  })

  test.each(['docs', 'docs/decisions'])('%s/README.md names every document there', folder => {
    const index = read(`${folder}/README.md`)
    const unnamed = filesBelow(folder, ['.md'])
      .map(path => path.slice(folder.length + 1))
      .filter(name => !name.includes('/') && name !== 'README.md' && !index.includes(`](${name})`))
    expect(unnamed).toEqual([])
  })

  test('links between documents lead somewhere', () => {
    const dead = filesBelow('', ['.md']).flatMap(path =>
      [...read(path).matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map(match => match[1] as string)
        .filter(link => !existsSync(join(root, dirname(path), link)))
        .map(link => `${path}: ${link}`),
    )
    expect(dead).toEqual([])
  })
})

describe('imports', () => {
  const workersMayUse =
    /^(workers\/|src\/(contracts|protocol|ring|config)\/|src\/(metrics|clock)\b|src\/partitions\/offset-table\.ts$)/

  function offenders(from: readonly SourceFile[], allowed: (target: string) => boolean): string[] {
    return from.flatMap(file =>
      importsOf(file)
        .filter(({ target }) => target !== null && !allowed(target))
        .map(({ line, target }) => `${file.path}:${line} imports ${target}`),
    )
  }

  test('src imports only src', () => {
    const stays = (target: string) => target.startsWith('src/') || target === 'package.json'
    expect(offenders(startsWith('src/'), stays)).toEqual([])
  })

  test('workers import only contracts, protocol, ring, offset table, metrics, config and clock', () => {
    expect(offenders(startsWith('workers/'), target => workersMayUse.test(target))).toEqual([])
  })

  test('every relative import names an existing .ts or .json file', () => {
    const exists = (target: string) =>
      /\.(ts|mjs|json)$/.test(target) && existsSync(join(root, target))
    expect(offenders(all, exists)).toEqual([])
  })

  test('the log core reaches disk and clock only through their interfaces', () => {
    const direct = startsWith('workers/log/').flatMap(file => [
      ...importsOf(file)
        .filter(({ specifier }) => /^(node:)?(fs|timers)\b/.test(specifier))
        .map(({ line, specifier }) => `${file.path}:${line} imports ${specifier}`),
      ...nodesWhere(
        file,
        ({ type }, text) =>
          type === 'CallExpression' &&
          /^(Date\.now|performance\.now|set(Timeout|Interval|Immediate))\(/.test(text),
      ),
    ])
    expect(direct).toEqual([])
  })

  test('every product file is reached from an entry', () => {
    const entries = [...files.keys()].filter(
      path =>
        /^(src\/(main|index|broker|broker-thread\/broker-thread)\.ts|workers\/partition-owner\.ts)$/.test(
          path,
        ) || /^(workers\/tasks|src\/protocol\/messages|bench|config)\//.test(path),
    )
    const live = reachable(files, entries)
    const dead = product
      .map(({ path }) => path)
      .filter(path => !live.has(path) && !path.endsWith('.d.ts'))
    expect(dead).toEqual([])
  })
})

describe('seams', () => {
  test('only main.ts and the command line touch the process: signals, exit, directory', () => {
    // Load generators are processes that `odradek bench` starts.
    const library = startsWith('src/').filter(
      ({ path }) => path !== 'src/main.ts' && !/^src\/(cli|load)\//.test(path),
    )
    // Signal 0 only asks whether a process is there.
    const call = /^process\.(on|once|addListener|exit|abort|kill(?!\(\w+, 0\))|chdir|setuid)\(/
    expect(
      library.flatMap(file =>
        nodesWhere(file, ({ type }, text) => type === 'CallExpression' && call.test(text)),
      ),
    ).toEqual([])
  })

  test("a socket's private handle is used in one file", () => {
    const users = startsWith('src/', 'workers/').filter(file =>
      file.nodes.some(({ node }) => node.type === 'Identifier' && node.name === '_handle'),
    )
    expect(users.map(({ path }) => path).slice(1)).toEqual([])
  })

  test('every server that listens names its host; in tests and benches it is the loopback', () => {
    const open = all.flatMap(file =>
      nodesWhere(file, (node, text) => {
        if (node.type !== 'CallExpression' || calleeName(node) !== 'listen') return false
        if (/^(\w+\.)*(broker|listener)\./.test(text)) return false
        return /^(src|workers)\//.test(file.path)
          ? !/\b(host|path|fd)\b|127\.0\.0\.1/.test(text)
          : !/127\.0\.0\.1|localhost|loopback|\b(path|fd)\b/.test(text)
      }),
    )
    expect(open).toEqual([])
  })

  test('an API has one schema, one handler file and one row', () => {
    const index = files.get('src/apis/index.ts')
    expect(index, 'src/apis/index.ts').toBeDefined()
    const rows = new Set(importsOf(index as SourceFile).map(({ target }) => target))
    const problems = startsWith('src/protocol/messages/')
      .map(({ path }) => path.slice('src/protocol/messages/'.length, -'.ts'.length))
      .flatMap(name => {
        const handler = files.get(`src/apis/${name}.ts`)
        if (handler === undefined) return [`src/apis/${name}.ts is missing`]
        const schema = `src/protocol/messages/${name}.ts`
        return [
          ...(importsOf(handler).some(({ target }) => target === schema)
            ? []
            : [`${handler.path} does not use ${schema}`]),
          ...(rows.has(handler.path) ? [] : [`src/apis/index.ts has no row of ${handler.path}`]),
        ]
      })
    expect(problems).toEqual([])
  })
})

describe('tests', () => {
  const suites = startsWith('test/').filter(({ path }) => path.endsWith('.test.ts'))

  test('none is focused, emptied, mocked or always true', () => {
    const weak =
      /^(it|test|describe)\.(only|todo|skip)\b|^expect\((true|1)\)\.|^vi\.(mock|doMock|spyOn)\(/
    const found = suites.flatMap(file =>
      nodesWhere(file, ({ type }, text) => type === 'CallExpression' && weak.test(text)),
    )
    expect(found).toEqual([])
  })
})

describe('package', () => {
  const manifest = JSON.parse(read('package.json')) as {
    allowScripts: Record<string, boolean>
    files: string[]
  }
  const lockfiles = ['package-lock.json', 'test/clients/package-lock.json']
  const packages = lockfiles.flatMap(path =>
    Object.entries((JSON.parse(read(path)) as Lockfile).packages),
  )

  test('lockfiles name no registry', () => {
    expect(packages.filter(([, { resolved }]) => resolved !== undefined)).toEqual([])
  })

  test('lockfiles hold every optional package, of other platforms too (npm run lockfile)', () => {
    const missing = lockfiles.flatMap(path => missingOptional(JSON.parse(read(path)) as Lockfile))
    expect(missing).toEqual([])
  })

  test('only allowed packages run a script at installation', () => {
    const scripts = packages
      .filter(([, { hasInstallScript }]) => hasInstallScript === true)
      .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length))
    expect(scripts.filter(name => manifest.allowScripts[name] !== true)).toEqual([])
  })
})

describe('the rules themselves', () => {
  const plant = (text: string) => parseSource('src/planted.ts', text)

  test('a function of 71 lines is found in every form it can take', () => {
    const body = `{\n${'  step()\n'.repeat(69)}}`
    for (const form of [
      `function long() ${body}`,
      `const long = () => ${body}`,
      `class A { long() ${body} }`,
      `const o = { long() ${body} }`,
      `run(async () => ${body})`,
      `class A { static { const long = function () ${body} } }`,
    ]) {
      expect(Math.max(...functionsOf(plant(form)).map(({ lines }) => lines)), form).toBe(71)
    }
    for (const form of [`describe('x', () => ${body})`, `describe.each([1])('x', () => ${body})`]) {
      expect(functionsOf(plant(form)), form).toEqual([])
    }
    expect(functionsOf(plant("const s = `}` + '{' // {\nfunction f() { return /[{]/ }"))).toEqual([
      { name: 'f', line: 2, lines: 1 },
    ])
  })

  test('an import is found in every form it can take', () => {
    const forms = [
      "import '../workers/a.ts'",
      "import a from '../workers/a.ts'",
      "import type { A } from '../workers/a.ts'",
      "export { a } from '../workers/a.ts'",
      "export * from '../workers/a.ts'",
      "const a = await import('../workers/a.ts')",
      "type A = import('../workers/a.ts').A",
    ]
    for (const form of forms) {
      expect(importsOf(plant(form)), form).toEqual([
        { line: 1, specifier: '../workers/a.ts', target: 'workers/a.ts' },
      ])
    }
  })
})
