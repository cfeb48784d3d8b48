import { spawnSync } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLogger, type Logger, type LogLevel, PeerLogLimit } from '../../src/log.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** Runs `write` with a logger on a file. @returns the lines, parsed. */
async function logged(level: LogLevel, write: (log: Logger) => void) {
  const path = join(await tempDirectory(), 'log')
  const fileDescriptor = openSync(path, 'wx')
  write(createLogger({ level, fileDescriptor, sync: true, fields: { nodeId: 3 } }))
  closeSync(fileDescriptor)
  const text = readFileSync(path, 'utf8')
  return {
    text,
    lines: text
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line)),
  }
}

describe('log', () => {
  test('one JSON line a call, with level by name, time and own fields', async () => {
    const { lines } = await logged('info', log => {
      log.info({ topic: 'clicks', partition: 3 }, 'partition open')
      log.warn('plain')
      log.debug('below the level')
    })
    expect(lines).toHaveLength(2)
    expect(lines[0]).toMatchObject({
      level: 'info',
      nodeId: 3,
      pid: process.pid,
      topic: 'clicks',
      partition: 3,
      msg: 'partition open',
    })
    expect(new Date(lines[0].time).toISOString()).toBe(lines[0].time)
    expect(lines[1]).toMatchObject({ level: 'warn', msg: 'plain' })
  })

  test('any string stays on its line, escaped and cut', async () => {
    const texts = fc.sample(fc.string({ unit: 'binary', maxLength: 600 }), {
      numRuns: 100,
      seed: 7,
    })
    texts.push('a\nb', '\u001b[31m', '\u2028', '\ud800', 'x'.repeat(5000), '__proto__')
    const { lines, text } = await logged('info', log => {
      for (const clientId of texts) log.info({ clientId }, clientId)
    })
    expect(lines).toHaveLength(texts.length)
    expect(text).not.toContain('\u001b')
    for (const [i, original] of texts.entries()) {
      const whole = original.toWellFormed()
      const clientId: string = lines[i].clientId.toWellFormed()
      if (original.length <= 256) expect(clientId).toBe(whole)
      else
        expect(clientId).toBe(
          `${original.slice(0, 256)}... (${original.length} characters)`.toWellFormed(),
        )
      expect(lines[i].msg.length).toBeLessThan(300)
    }
  })

  test('errors keep name, code and stack, cut', async () => {
    const error = Object.assign(new RangeError('y'.repeat(10_000)), { code: 'ENOSPC' })
    const { lines } = await logged('info', log => log.error({ err: error }, 'failed'))
    expect(lines[0].err).toMatchObject({ type: 'RangeError', code: 'ENOSPC' })
    expect(lines[0].err.message.length).toBeLessThan(300)
    expect(lines[0].err.stack.length).toBeLessThan(4200)
  })

  test('secrets never reach a line', async () => {
    const { text, lines } = await logged('trace', log => {
      log.trace({ password: 'hunter2', config: { secret: 'hunter2', user: 'u' } }, 'a')
      log.info({ headers: { authorization: 'Basic hunter2' }, saslAuthBytes: 'hunter2' }, 'b')
      log.info({ headers: { Authorization: 'Basic hunter2' } }, 'c')
      log.info({ users: [{ name: 'u', PASSWORD: 'hunter2' }] }, 'd')
      log.info(
        {
          at: new Date(0),
          frame: Buffer.from('hunter2'),
          a: { b: { c: { d: { e: 'hunter2' } } } },
        },
        'e',
      )
    })
    expect(lines[0].config.user).toBe('u')
    expect(text).not.toContain('hunter2')
    expect(lines.at(-1)).toMatchObject({ frame: '[7 bytes]', at: '1970-01-01T00:00:00.000Z' })
  })

  test('lines are on stderr, and none is lost when the process exits at once', () => {
    const script = `
      const { createLogger } = await import(${JSON.stringify(new URL('../../src/log.ts', import.meta.url))})
      const log = createLogger({ level: 'info' })
      for (let i = 0; i < 1000; i++) log.info({ i }, 'line')
      process.exit(5)`
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    })
    expect([child.status, child.stdout]).toEqual([5, ''])
    const numbers = child.stderr
      .split('\n')
      .slice(0, -1)
      .map(line => JSON.parse(line).i)
    expect(numbers).toEqual(Array.from({ length: 1000 }, (_, i) => i))
  })
})

describe('lines per peer', () => {
  test('a peer has its budget per window, others have theirs', () => {
    const limit = new PeerLogLimit({ windowMs: 1000, linesMax: 3, peersMax: 2 })
    const allowed = (peer: string, nowMs: number) =>
      Array.from({ length: 5 }, () => limit.allows(peer, nowMs)).filter(Boolean).length
    expect([allowed('a', 0), allowed('a', 999), allowed('b', 999)]).toEqual([3, 0, 3])
    expect(allowed('a', 1000)).toBe(3)
    // More peers than are remembered share one budget: memory stays bounded.
    expect([allowed('b', 1001), allowed('c', 1001), allowed('d', 1001)]).toEqual([3, 3, 0])
    expect(allowed('d', 2000)).toBe(3)
  })
})
