/**
 * Completes package-lock.json: some registry mirrors lack the binaries of platforms they do not serve, npm then leaves
 * these optional packages out of the lockfile, and `npm ci` refuses the whole lockfile ("Missing: ... from lock file").
 * An entry with version, os and cpu is enough: npm skips it on other platforms, and fetches it there by version.
 * Run by `npm run lockfile` after a change of dependencies; test/tidy.test.ts fails when an entry is missing.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface LockEntry {
  version?: string
  resolved?: string
  optional?: boolean
  hasInstallScript?: boolean
  dev?: boolean
  os?: string[]
  cpu?: string[]
  libc?: string[]
  license?: string
  engines?: Record<string, string>
  optionalDependencies?: Record<string, string>
}

export interface Lockfile {
  packages: Record<string, LockEntry>
}

const systems = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony']
const processors: [suffix: string, cpu: string][] = [
  ['arm64', 'arm64'],
  ['arm', 'arm'],
  ['x64', 'x64'],
  ['ia32', 'ia32'],
  ['ppc64', 'ppc64'],
  ['riscv64', 'riscv64'],
  ['s390x', 's390x'],
]

/** The path npm resolves `name` to when the package at `parentPath` asks for it, or null when it is not locked. */
function resolvePath(lock: Lockfile, parentPath: string, name: string): string | null {
  let path = parentPath
  for (;;) {
    const candidate = path === '' ? `node_modules/${name}` : `${path}/node_modules/${name}`
    if (lock.packages[candidate] !== undefined) return candidate
    if (path === '') return null
    path = path.slice(0, Math.max(0, path.lastIndexOf('/node_modules/')))
  }
}

/** Optional packages that the lockfile asks for and does not hold: [asking package, name, version]. */
export function missingOptional(lock: Lockfile): [parent: string, name: string, version: string][] {
  const missing: [string, string, string][] = []
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (resolvePath(lock, path, name) === null) missing.push([path, name, version])
    }
  }
  return missing
}

/** `@scope/binding-linux-arm-musleabihf` -> os linux, cpu arm, libc musl. Throws on a name it cannot read. */
function platformOf(name: string): Pick<LockEntry, 'os' | 'cpu' | 'libc'> {
  const words = name.slice(name.lastIndexOf('/') + 1).split('-')
  const system = words.find(word => systems.includes(word) || word === 'win32')
  const cpu = processors.find(([suffix]) => words.includes(suffix))?.[1]
  if (system === undefined || cpu === undefined) throw new Error(`no platform in ${name}`)
  const tail = words.at(-1) ?? ''
  if (tail.startsWith('musl')) return { os: [system], cpu: [cpu], libc: ['musl'] }
  if (tail.startsWith('gnu')) return { os: [system], cpu: [cpu], libc: ['glibc'] }
  return { os: [system], cpu: [cpu] }
}

/** Adds the missing entries; returns their names. */
export function completeLockfile(lock: Lockfile): string[] {
  const added: string[] = []
  for (const [parent, name, version] of missingOptional(lock)) {
    const dev = lock.packages[parent]?.dev === true
    lock.packages[`node_modules/${name}`] = {
      version,
      ...(dev ? { dev } : {}),
      optional: true,
      ...platformOf(name),
    }
    added.push(`${name}@${version}`)
  }
  const root = lock.packages['']
  const { '': _, ...rest } = lock.packages
  const sorted = Object.entries(rest).sort(([a], [b]) => a.localeCompare(b, 'en'))
  lock.packages = Object.fromEntries([...(root ? [['', root] as const] : []), ...sorted])
  return added
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = fileURLToPath(new URL('../../package-lock.json', import.meta.url))
  const lock = JSON.parse(readFileSync(path, 'utf8')) as Lockfile
  const added = completeLockfile(lock)
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
  console.log(added.length === 0 ? 'package-lock.json is complete' : `added ${added.join(' ')}`)
}
