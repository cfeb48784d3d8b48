/**
 * Plants a known bug into the log core while it is loaded: a snippet of a product file is replaced by another one. The
 * product itself knows nothing of it. A snippet that is not there exactly once is an error, so that plants follow the
 * code they break.
 */
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Plant, plants } from './plants.ts'

export interface PlantHook {
  /** Throws unless every file of the plant has been loaded. */
  ensureUsed(): void
}

export function plantInModules(name: string): PlantHook {
  const plant = plants.find(other => other.name === name)
  if (plant === undefined) throw new Error(`there is no plant ${name}`)
  const waiting = new Map(plant.edits.map(edit => [urlOf(edit.file), edit]))
  registerHooks({
    load(url, context, nextLoad) {
      const loaded = nextLoad(url, context)
      const edits = plant.edits.filter(({ file }) => urlOf(file) === url)
      if (edits.length === 0) return loaded
      waiting.delete(url)
      let source = Buffer.from(loaded.source as Uint8Array).toString()
      for (const edit of edits) source = replaceOnce(source, edit)
      return { ...loaded, source }
    },
  })
  return {
    ensureUsed() {
      if (waiting.size > 0) throw new Error(`plant ${name}: ${[...waiting.keys()]} is never loaded`)
    },
  }
}

function urlOf(file: string): string {
  return pathToFileURL(join(import.meta.dirname, '../..', file)).href
}

export function replaceOnce(
  source: string,
  { file, find, replace }: Plant['edits'][number],
): string {
  const parts = source.split(find)
  if (parts.length !== 2) {
    throw new Error(`${file} holds ${parts.length - 1} times: ${JSON.stringify(find)}`)
  }
  return parts.join(replace)
}
