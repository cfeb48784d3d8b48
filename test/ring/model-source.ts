/**
 * Turns a shipped source file into its own model: the class text is taken as it stands, its methods become
 * generators and every Atomics call in them becomes a `yield` of that call, so that a scheduler can switch
 * threads there. Nothing is written twice, so the modelled algorithm cannot drift from the shipped one; a
 * model of a *broken* version is the same text with one planted replacement.
 */
import assert from 'node:assert'
import { readFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { ensure } from '../../src/ring/ensure.ts'
import type { ModelStep } from './mini-loom.ts'
import { directAtomics, modelInt32Array, resolvedModelPromise } from './model-memory.ts'

/** A shipped class as the model sees it: the same methods, as generators. */
export type Modelled<C> = {
  [K in keyof C]: C[K] extends (...args: infer A) => infer R
    ? (...args: A) => Generator<ModelStep, R, unknown>
    : C[K]
}

/** One planted bug: text that must occur exactly once, and what stands there instead. */
export interface Mutation {
  readonly from: string
  readonly to: string
}

/** The modelled class `name` of `file` (a URL), with `imports` standing in for what the file imports. */
export function modelClass<T>(
  file: URL,
  name: string,
  imports: Readonly<Record<string, unknown>>,
  mutations: readonly Mutation[] = [],
): T {
  const shipped = stripTypeScriptTypes(readFileSync(file, 'utf8'))
  const text = withMutations(shipped, mutations)
    .replace(/^import .*$/gm, '')
    .replace(/^export /gm, '')
  const start = text.indexOf(`\nclass ${name} {`)
  assert(start >= 0, `no class ${name} in ${file.pathname}`)
  const end = text.indexOf('\n}\n', start)
  const model = text.slice(0, start) + generatorClass(text.slice(start, end)) + text.slice(end)
  const scope: Record<string, unknown> = {
    assert,
    ensure,
    Atomics: directAtomics,
    Int32Array: modelInt32Array,
    given: (value: unknown) => value,
    Promise: { resolve: resolvedModelPromise },
    ...imports,
  }
  const build = new Function(...Object.keys(scope), `${model}\nreturn ${name}`)
  return build(...Object.values(scope)) as T
}

function withMutations(text: string, mutations: readonly Mutation[]): string {
  let mutated = text
  for (const { from, to } of mutations) {
    assert.strictEqual(mutated.split(from).length, 2, `planted bug: "${from}" must occur once`)
    mutated = mutated.replace(from, () => to)
  }
  return mutated
}

/** Method heads stand at two spaces (biome keeps them there) and end at the first line that is `  }`. */
const METHOD = /^ {2}(?!constructor)(#?[a-z]\w*)\([\s\S]*?^ {2}\}$/gm

/** `given` is the identity: with a name in front, a call that begins a line still begins a statement. */
function generatorClass(classText: string): string {
  const names = [...classText.matchAll(METHOD)].map(match => match[1])
  assert(names.length > 0)
  return classText.replace(METHOD, method => {
    let text = `  *${method.slice(2)}`
    for (const name of names) {
      text = wrapCalls(text, `this.${name}(`, call => `given(yield* ${call})`)
    }
    text = text.replaceAll('.then(', '.whenSettled(')
    return wrapCalls(text, 'Atomics.', call => {
      const open = call.indexOf('(')
      return `given(yield { op: '${call.slice(8, open)}', args: [${call.slice(open + 1, -1)}] })`
    })
  })
}

/** Replaces every call that begins with `prefix` by `wrap(call)`, to its matching parenthesis. */
function wrapCalls(text: string, prefix: string, wrap: (call: string) => string): string {
  let out = ''
  let from = 0
  for (;;) {
    const at = text.indexOf(prefix, from)
    if (at < 0) return out + text.slice(from)
    let close = text.indexOf('(', at)
    for (let depth = 1; depth > 0; ) {
      const char = text[++close]
      if (char === '(') depth++
      else if (char === ')') depth--
    }
    const call = text.slice(at, close + 1)
    const inner = call.slice(prefix.length, -1)
    out += text.slice(from, at) + wrap(prefix + wrapCalls(inner, prefix, wrap) + call.slice(-1))
    from = close + 1
  }
}
