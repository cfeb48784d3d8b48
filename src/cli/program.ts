/** The frame of the command line: one-line errors, help with examples, options that several commands share. */
import { Command, InvalidArgumentError, Option } from 'commander'
import { defaultBootstrap, parseBootstrap } from '../client/address.ts'
import { packageVersion } from '../version.ts'
import { UsageError } from './failure.ts'

export interface ClientFlags {
  readonly bootstrap: string
  /** Address of the HTTP API. */
  readonly admin: string
  readonly json: boolean
}

export const defaultAdmin = 'http://127.0.0.1:8082'

export function makeProgram(): Command {
  const program = new Command('odradek')
    .description('A log broker for one host that speaks the Kafka protocol.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => write(`odradek: ${oneLine(text.replace(/^error: /, ''))}\n`),
    })
  return withExamples(program, [
    'odradek start',
    "printf 'one\\ntwo\\n' | odradek produce lines",
    'odradek consume lines --exit-at-end',
  ])
}

/** Examples end the help of a command. */
export function withExamples(command: Command, examples: readonly string[]): Command {
  const lines = examples.map(example => `  ${example}\n`).join('')
  return command.addHelpText('after', `\nExample${examples.length > 1 ? 's' : ''}:\n${lines}`)
}

/** What every command that talks to a broker takes. */
export function withClientOptions(command: Command): Command {
  return command
    .option('--bootstrap <host:port>', 'broker to start from', checkedBootstrap, defaultBootstrap)
    .option('--admin <url>', "the broker's HTTP address", checkedUrl, defaultAdmin)
    .option('--json', 'print JSON', false)
}

/** Parser of --admin. */
export function checkedUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text
  throw new InvalidArgumentError('It must be a URL, as in http://127.0.0.1:8082.')
}

function checkedBootstrap(text: string): string {
  try {
    parseBootstrap(text)
    return text
  } catch {
    throw new InvalidArgumentError('It must be HOST:PORT, or several of them separated by commas.')
  }
}

/** A flag of a later version: not in the help, and refused with the reason when given. */
export function later(flags: string, why: string): Option {
  const name = flags.split(' ')[0]
  const refuse = (): never => {
    throw new UsageError(`${name} is not there yet: ${why}`)
  }
  const option = new Option(flags).hideHelp()
  // A flag without a value is not parsed; its preset value is.
  return (flags.includes(' ') ? option : option.preset('')).argParser(refuse)
}

/** Parser of a whole number from `min` on. */
export function wholeNumber(min: number): (text: string) => number {
  return text => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
    if (Number.isSafeInteger(value) && value >= min) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} on.`)
  }
}

/** Gathers the values of a flag that may be given several times. */
export function gathered(text: string, before: readonly string[] = []): string[] {
  return [...before, text]
}

/** Parser of KEY=VALUE, given several times. */
export function pairs(text: string, before: ReadonlyMap<string, string> = new Map()) {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE.')
  return new Map([...before, [text.slice(0, at), text.slice(at + 1)]])
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ')
}
