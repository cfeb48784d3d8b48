/** The package's version, from its package.json: beside `src` in a checkout, one above `dist` when published. */
import { readFileSync } from 'node:fs'

let version: string | null = null

export function packageVersion(): string {
  version ??= readVersion()
  return version
}

function readVersion(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const text = readFileSync(new URL(path, import.meta.url), 'utf8')
      const found = JSON.parse(text) as { name?: string; version?: string }
      if (found.name === 'odradek' && found.version !== undefined) return found.version
    } catch {
      // The other layout.
    }
  }
  return 'unknown'
}
