/** Request bodies and answers in memory: bounded each and together, whatever order their bytes come in. */

import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { HttpProblem } from '../../../src/http/problem.ts'
import { AnswerWriter, NoAnswerMemory } from '../../../src/http/raw/answer-writer.ts'
import { ByteBudget } from '../../../src/http/raw/byte-budget.ts'
import { RequestBodies } from '../../../src/http/raw/request-bodies.ts'
import { BodyUnpacker } from '../../../src/http/raw/unpack-body.ts'
import { buildHttp } from '../../../src/http/server.ts'
import { makeServices } from '../http-fixture.ts'

const kib = 1024

/** A server that reads bodies of up to 1 MiB and tells their sum. */
async function startServer(budgetBytes: number) {
  const budget = new ByteBudget(budgetBytes)
  const bodies = new RequestBodies(budget)
  const state = { budget, open: [] as (() => void)[], isHeld: false }
  const server = createServer((request, response) => {
    void bodies.read(request, 1024 * kib).then(
      body => {
        const finish = () => {
          const sum = body.bytes.reduce((total, byte) => total + byte, 0)
          body.release()
          response.end(JSON.stringify({ length: body.bytes.length, sum }))
        }
        if (state.isHeld) state.open.push(finish)
        else finish()
      },
      (problem: HttpProblem) => response.writeHead(problem.statusCode).end(problem.message),
    )
  })
  bodies.holdContinue(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return { ...state, state, port: (server.address() as AddressInfo).port }
}

/** Sends a body in pieces. @returns status and text of the answer */
async function send(port: number, pieces: readonly Buffer[], headers: Record<string, string> = {}) {
  const request = httpRequest({ port, host: '127.0.0.1', method: 'POST', headers })
  request.on('error', () => {})
  const answered = once(request, 'response')
  for (const piece of pieces) {
    request.write(piece)
    await new Promise(setImmediate)
  }
  request.end()
  const [response] = await answered
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: response.statusCode as number, text }
}

const pieces = (total: number, size: number) => {
  const bytes = Buffer.from(Array.from({ length: total }, (_, i) => i % 251))
  return Array.from({ length: Math.ceil(total / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  )
}

describe('a body', () => {
  test.each([
    [0, 1],
    [1, 1],
    [5000, 7],
    [64 * kib, 64 * kib],
    [64 * kib + 1, 1000],
    [300 * kib, 5000],
    [1024 * kib, 64 * kib],
  ])('of %i bytes in pieces of %i is the one that was sent', async (total, size) => {
    const { port, budget } = await startServer(8 * 1024 * kib)
    const parts = pieces(total, size)
    const sum = Buffer.concat(parts).reduce((all, byte) => all + byte, 0)
    for (const length of [null, String(total)]) {
      const answer = await send(port, parts, length === null ? {} : { 'content-length': length })
      expect([answer.status, JSON.parse(answer.text)]).toEqual([200, { length: total, sum }])
    }
    expect(budget.used).toBe(0)
  })

  test('larger than it may be is a 413, announced or not, and the connection lives', async () => {
    const { port, budget } = await startServer(8 * 1024 * kib)
    const parts = pieces(1024 * kib + 1, 64 * kib)
    expect((await send(port, parts)).status).toBe(413)
    const length = { 'content-length': String(1024 * kib + 1) }
    expect((await send(port, parts, length)).status).toBe(413)
    // The client waits for "100 Continue", which never comes.
    const patient = await send(port, [], { ...length, expect: '100-continue' })
    expect(patient.status).toBe(413)
    expect(budget.used).toBe(0)
  })

  test('whose client leaves gives its memory back', async () => {
    const { port, budget } = await startServer(8 * 1024 * kib)
    const request = httpRequest({ port, host: '127.0.0.1', method: 'POST' })
    request.on('error', () => {})
    request.write(Buffer.alloc(200 * kib))
    await expect.poll(() => budget.used).toBeGreaterThan(100 * kib)
    request.destroy()
    await expect.poll(() => budget.used).toBe(0)
  })

  test('of which nothing has come yet costs nothing', async () => {
    const { port, budget } = await startServer(8 * 1024 * kib)
    const request = httpRequest({
      port,
      host: '127.0.0.1',
      method: 'POST',
      headers: { 'content-length': String(1024 * kib) },
    })
    request.on('error', () => {})
    request.write('x')
    await expect.poll(() => budget.used).toBe(64 * kib)
    request.destroy()
    await expect.poll(() => budget.used).toBe(0)
  })
})

describe('many bodies', () => {
  test('share a budget; who finds it used up is told to come again', async () => {
    const { port, budget, state } = await startServer(1024 * kib)
    state.isHeld = true
    const large = Buffer.alloc(300 * kib)
    const length = { 'content-length': String(large.length) }
    const held = [send(port, [large], length), send(port, [large], length)]
    await expect.poll(() => state.open.length).toBe(2)
    expect(budget.used).toBeLessThanOrEqual(1024 * kib)
    const refused = await send(port, [large], length)
    expect([refused.status, refused.text]).toEqual([503, expect.stringContaining('try again')])
    // An eighth is kept for small ones.
    const small = send(port, [Buffer.alloc(10 * kib)])
    await expect.poll(() => state.open.length).toBe(3)
    for (const finish of state.open) finish()
    for (const answer of await Promise.all([...held, small])) expect(answer.status).toBe(200)
    expect(budget.used).toBe(0)
    state.isHeld = false
    expect((await send(port, [large], length)).status).toBe(200)
  })
})

describe('unpacking', () => {
  test('is done two at a time, and no more than 64 wait', async () => {
    const bodies = new RequestBodies(new ByteBudget(1024 * kib))
    const running: (() => void)[] = []
    const tasks = {
      run: <T>() =>
        new Promise<T>(resolve => running.push(() => resolve({ bytes: Buffer.from('x') } as T))),
    }
    const unpacker = new BodyUnpacker(tasks, bodies)
    let outcomes = 0
    const one = { bytes: Buffer.from('x'), release: () => {} } as never
    const all = Array.from({ length: 70 }, () =>
      unpacker.unpack(one, 'gzip', kib).then(
        body => {
          outcomes++
          body.release()
          return 200
        },
        (problem: HttpProblem) => problem.statusCode,
      ),
    )
    await new Promise(setImmediate)
    expect(running).toHaveLength(2)
    while (outcomes < 66) {
      running.shift()?.()
      await new Promise(setImmediate)
      expect(running.length).toBeLessThanOrEqual(2)
    }
    const statuses = await Promise.all(all)
    expect(statuses.filter(status => status === 503)).toHaveLength(4)
    expect(bodies.budget.used).toBe(0)
  })
})

describe('answers', () => {
  test('grow as they must and give back what they took', () => {
    const budget = new ByteBudget(1024 * kib)
    const writer = new AnswerWriter(budget)
    const parts = ['a', 'ü€😀'.repeat(500), 'x'.repeat(100_000), '']
    for (const part of parts) writer.text(part)
    expect(writer.view().toString()).toBe(parts.join(''))
    expect(budget.used).toBeGreaterThanOrEqual(writer.pos)
    expect(() => writer.bytes(Buffer.alloc(900 * kib))).toThrow(NoAnswerMemory)
    writer.release()
    expect(budget.used).toBe(0)
  })
})

describe('a listener without memory left', () => {
  test('answers 503 with Retry-After, also to JSON', async () => {
    const app = buildHttp(makeServices({ bodyBytesMax: 16 }))
    app.post('/echo', request => ({ body: request.body }))
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    onTestFinished(() => app.close())
    const post = (path: string, type: string, body: string) =>
      fetch(url + path, { method: 'POST', headers: { 'content-type': type }, body })
    for (const [path, type] of [
      ['/echo', 'application/json'],
      ['/topics/t?key=k', 'application/octet-stream'],
    ]) {
      const answer = await post(path, type, `"${'x'.repeat(100)}"`)
      expect([path, answer.status, answer.headers.get('retry-after')]).toEqual([path, 503, '1'])
      expect(await answer.json()).toMatchObject({ error_code: 50301 })
    }
    expect((await post('/echo', 'application/json', '"small"')).status).toBe(200)
  })
})
