#!/usr/bin/env node
/**
 * Process entry. Imports nothing before the checks below: an import that an old Node cannot load would come first.
 */
// libuv reads it when its pool is first used; syncs of many logs run there side by side.
process.env.UV_THREADPOOL_SIZE ??= '16'

const [major, minor] = process.versions.node.split('.').map(Number)

if (major < 22 || (major === 22 && minor < 18) || major === 23) {
  console.error(
    `odradek: needs Node 22.18 or newer, this is ${process.version}: install one from https://nodejs.org`,
  )
  process.exitCode = 1
} else {
  const { runCli } = await import('./cli/run.ts')
  process.exitCode = await runCli(process.argv.slice(2))
}

export {}
