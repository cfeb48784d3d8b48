/**
 * Every golden request, cut at every byte and extended by junk, to a real broker process beside an honest client.
 * Oracle (oracle.ts, broker-under-attack.ts): an answer or the end of the connection, each time, and nothing else.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { schemas } from '../protocol/schemas.ts'
import { readGolden } from '../support/kafka-json.ts'
import { Random } from '../torture/random.ts'
import { BrokerUnderAttack } from './broker-under-attack.ts'
import type { Case } from './cases.ts'
import { oddBytes } from './odd-values.ts'
import { attackWith } from './siege.ts'
import type { AnySchema } from './valid.ts'

let broker: BrokerUnderAttack

beforeAll(async () => {
  broker = await BrokerUnderAttack.start()
})
afterAll(() => broker[Symbol.asyncDispose]())

/** The golden body behind a header, without the size in front. */
function payloadOf(api: AnySchema, version: number, hex: string): Buffer {
  const header = Buffer.from('0000000000000000000663616e617279', 'hex')
  header.writeInt16BE(api.key, 0)
  header.writeInt16BE(version, 2)
  const tags = Buffer.alloc(version >= api.flexible ? 1 : 0)
  return Buffer.concat([header, tags, Buffer.from(hex, 'hex')])
}

function frameOf(payload: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(payload.length)
  return Buffer.concat([size, payload])
}

function* eachGolden(): Generator<{ api: AnySchema; version: number; payload: Buffer }> {
  for (const api of schemas) {
    for (const { side, version, hex } of readGolden(api.name).cases) {
      if (side === 'request') yield { api, version, payload: payloadOf(api, version, hex) }
    }
  }
}

function* cut(): Generator<Case> {
  for (const { api, version, payload } of eachGolden()) {
    for (let index = 0; index < payload.length; index++) {
      const bytes = frameOf(payload.subarray(0, index))
      yield { api, version, index, kind: 'bytes', bytes }
    }
  }
}

function* extended(): Generator<Case> {
  const random = new Random(20)
  for (const { api, version, payload } of eachGolden()) {
    for (let index = 0; index < 8; index++) {
      const bytes = frameOf(Buffer.concat([payload, oddBytes(random)]))
      // Junk behind the frame is the beginning of another.
      const junk = index < 4 ? Buffer.alloc(0) : oddBytes(random)
      yield { api, version, index, kind: 'frame', bytes: Buffer.concat([bytes, junk]) }
    }
  }
}

/** Frames whose size says that more will come: the rest never comes. */
function* unfinished(): Generator<Case> {
  for (const { api, version, payload } of eachGolden()) {
    const whole = frameOf(payload)
    for (const index of [1, 3, 4, 5, 11, whole.length >> 1, whole.length - 1]) {
      yield { api, version, index, kind: 'frame', bytes: whole.subarray(0, index) }
    }
  }
}

test.each([
  ['cut at every byte', cut, 45_000],
  ['extended by junk', extended, 2500],
  ['never finished', unfinished, 2000],
])('golden requests, %s', { timeout: 600_000 }, async (_, cases, atLeast) => {
  const stepsBefore = broker.canary.steps
  const done = await attackWith(broker, cases())
  await broker.untilCalm()
  expect(done).toBeGreaterThan(atLeast)
  expect(broker.canary.steps).toBeGreaterThan(stepsBefore)
})

test('everything the honest client wrote is there, before and after a restart', async () => {
  await broker.stop()
})
