/**
 * The README's examples as programs, so that they are run and not only read. As a script: `node
 * test/support/readme-example.ts HEADING` prints the first TypeScript example below HEADING as a user of the installed
 * package writes it.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

/** Fenced code below `## heading` in one language, in order. Throws when there is none. */
export function readmeExamples(heading: string, language: 'ts' | 'js' | 'sh'): string[] {
  const section = readme.split(/^## /m).find(text => text.startsWith(`${heading}\n`))
  const fences = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')
  const examples = [...(section ?? '').matchAll(fences)].map(match => match[1] as string)
  if (examples.length === 0) throw new Error(`README.md: no ${language} example below ${heading}`)
  return examples
}

/** The commands a fresh clone needs: the README's first fenced block, without comments. */
export function readmeCommands(): string[] {
  const block = /^```sh\n(.*?)^```$/ms.exec(readme)?.[1] ?? ''
  return block.split('\n').flatMap(line => line.split('#')[0]?.trim() || [])
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [example = ''] = readmeExamples(process.argv[2] ?? '', 'ts')
  process.stdout.write(example.replace("'./src/index.ts'", "'odradek'"))
}
