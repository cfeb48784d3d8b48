/**
 * The broker's log: JSON lines on stderr, made by pino. Dispatcher thread.
 *
 * What comes from outside (client ids, host names, error texts) may be long or hostile: JSON escapes control bytes,
 * strings are cut, and names that carry secrets are replaced before the line is made.
 */
import { type Logger as PinoLogger, pino, stdSerializers } from 'pino'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** What the rest of the broker may ask of a log: `log.warn({ topic, partition }, 'message')`. */
export type Logger = Pick<
  PinoLogger,
  'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'level' | 'isLevelEnabled' | 'flush'
>

export interface LogOptions {
  readonly level: LogLevel
  /** Fields of every line. */
  readonly fields?: Readonly<Record<string, unknown>>
  /** File descriptor; 2 (stderr) unless a test wants its own. */
  readonly fileDescriptor?: number
  /** True writes each line before the call returns; false (default) leaves writing to the event loop. */
  readonly sync?: boolean
}

/** Longest string of a field or a message; stacks of errors may have 4 KiB. */
const fieldCharsMax = 256
const stackCharsMax = 4096

/** Fields deeper than this are left out: what is logged is ours, but a mistake must not write a whole object graph. */
const fieldDepthMax = 4
const secretNames = /^(?:.*password|.*secret|.*token|authorization|cookie|.*auth_?bytes)$/i

/** @returns a logger that writes one JSON line per call. Flushed at process exit, also after `process.exit`. */
export function createLogger(options: LogOptions): Logger {
  const destination = pino.destination({
    dest: options.fileDescriptor ?? 2,
    sync: options.sync ?? false,
  })
  return pino(
    {
      level: options.level,
      base: { pid: process.pid, ...options.fields },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }), log: cleanFields },
      serializers: { err: cutError, error: cutError },
      hooks: {
        logMethod(args, method) {
          for (let i = 0; i < args.length; i++) {
            const arg: unknown = args[i]
            if (typeof arg === 'string') args[i] = cut(arg, fieldCharsMax)
          }
          method.apply(this, args)
        },
      },
    },
    destination,
  )
}

function cut(text: string, charsMax: number): string {
  return text.length <= charsMax
    ? text
    : `${text.slice(0, charsMax)}... (${text.length} characters)`
}

function cleanFields(fields: Record<string, unknown>, depth = 1): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    kept[name] = secretNames.test(name) ? '[secret]' : cleanValue(value, depth)
  }
  return kept
}

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return cut(value, fieldCharsMax)
  if (typeof value !== 'object' || value === null || value instanceof Error) return value
  if (value instanceof Date) return value.toJSON()
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (depth >= fieldDepthMax) return '[deeper]'
  if (Array.isArray(value)) return value.map(item => cleanValue(item, depth + 1))
  return cleanFields(value as Record<string, unknown>, depth + 1)
}

function cutError(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { type, message, stack } = stdSerializers.err(error)
  const code = (error as NodeJS.ErrnoException).code
  return { type, message: cut(message, fieldCharsMax), stack: cut(stack, stackCharsMax), code }
}

/**
 * Lets one peer write at most `linesMax` log lines per window, so that a client that sends rubbish in a loop cannot
 * fill the disk. Bounded: with more than `peersMax` peers in a window the rest share one budget.
 */
export class PeerLogLimit {
  readonly #windowMs: number
  readonly #linesMax: number
  readonly #peersMax: number
  readonly #lines = new Map<string, number>()
  #windowStartMs = Number.NEGATIVE_INFINITY

  constructor({ windowMs = 10_000, linesMax = 10, peersMax = 1000 } = {}) {
    this.#windowMs = windowMs
    this.#linesMax = linesMax
    this.#peersMax = peersMax
  }

  /** @param nowMs monotonic time. @returns true when a line about `peer` (its address) may be written now. */
  allows(peer: string, nowMs: number): boolean {
    if (nowMs - this.#windowStartMs >= this.#windowMs) {
      this.#lines.clear()
      this.#windowStartMs = nowMs
    }
    const key = this.#lines.has(peer) || this.#lines.size < this.#peersMax ? peer : 'others'
    const lines = (this.#lines.get(key) ?? 0) + 1
    this.#lines.set(key, lines)
    return lines <= this.#linesMax
  }
}
