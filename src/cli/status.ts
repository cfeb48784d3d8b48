/** `odradek status`: topics, rates, and which worker holds which partition; the page at / of the HTTP port as text. */
import type { Command } from 'commander'
import type { StatusJson } from '../http/status-routes.ts'
import { checkedUrl, defaultAdmin, withExamples } from './program.ts'

export interface StatusFlags {
  readonly admin: string
  readonly watch: boolean
  readonly json: boolean
}

/** Rates are those between two questions, as long as one goes to the same broker within a few seconds. */
const pauseMs = 1000

export function register(program: Command): void {
  const status = program
    .command('status')
    .description('Show topics, rates, and which worker holds which partition.')
    .option('--watch', 'again every second, until Ctrl-C', false)
    .option('--admin <url>', "the broker's HTTP address", checkedUrl, defaultAdmin)
    .option('--json', 'print JSON, with --watch a line a second', false)
    .action(showStatus)
  withExamples(status, ['odradek status', 'odradek status --watch'])
}

async function showStatus({ admin, watch, json }: StatusFlags): Promise<void> {
  const { askBroker } = await import('./ask-broker.ts')
  const { printJson } = await import('./output.ts')
  const ask = () => askBroker<StatusJson>(admin, '/v1/status')
  let status = await ask()
  if (status.rates === null) status = await pause().then(ask)
  for (;;) {
    if (json) printJson(status)
    else await print(status, watch)
    if (!watch) return
    status = await pause().then(ask)
  }
}

async function print(status: StatusJson, isWatched: boolean): Promise<void> {
  const { printStatus } = await import('./status-text.ts')
  const { stdout } = process
  // Home, and nothing below: the terminal draws it in one go, without a flicker.
  if (isWatched && stdout.isTTY) stdout.write('\x1b[H\x1b[J')
  await printStatus(status, isWatched && stdout.isTTY ? stdout.rows : Number.POSITIVE_INFINITY)
  if (isWatched && !stdout.isTTY) stdout.write('\n')
}

function pause(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  setTimeout(resolve, pauseMs)
  return promise
}
