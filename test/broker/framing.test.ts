/** Frames, headers and versions over raw sockets: PROTOCOL rules on what is answered, what is ignored, what closes. */
import { describe, expect, test } from 'vitest'
import { Errors } from '../../src/protocol/errors.ts'
import { ApiVersions } from '../../src/protocol/messages/api-versions.ts'
import { Metadata } from '../../src/protocol/messages/metadata.ts'
import { Produce } from '../../src/protocol/messages/produce.ts'
import type { WireClient } from '../support/wire-client.ts'
import { batchOf, connect, createTopic, produceRequest, readAll, sharedBroker } from './fixture.ts'

const broker = sharedBroker()
const MIB = 1024 * 1024

const nameless = { clientSoftwareName: '', clientSoftwareVersion: '' }
const software = { clientSoftwareName: 'wire-client', clientSoftwareVersion: '1.0' }

/** Proves that a connection is alive and that nothing was left unread on it. */
async function isServed(client: WireClient): Promise<boolean> {
  const answer = await client.request(ApiVersions, 3, software)
  return answer.errorCode === Errors.NONE && client.unclaimedBytes === 0
}

/** Key and version of a request, a body of zeros: enough for the broker to decide. */
function header(apiKey: number, apiVersion: number): Buffer {
  const frame = Buffer.alloc(4 + 64)
  frame.writeInt32BE(64)
  frame.writeInt16BE(apiKey, 4)
  frame.writeInt16BE(apiVersion, 6)
  return frame
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

describe('frame size', () => {
  test.each([
    ['negative', -1],
    ['the smallest int32', -0x8000_0000],
    ['one above the limit', 32 * MIB + 1],
    ['the largest int32', 0x7fff_ffff],
    ['zero, so without a header', 0],
    ['too small for a header', 7],
  ])('%s closes the connection, without an answer, and no other one', async (_, size) => {
    const bystander = await connect(broker())
    const client = await connect(broker())
    client.write(int32(size))
    if (size > 0 && size < 8) client.write(Buffer.alloc(size))
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
    expect(await isServed(bystander)).toBe(true)
  })

  test('bad in the middle of a stream closes after the answers before it', async () => {
    const client = await connect(broker())
    expect(await isServed(client)).toBe(true)
    client.write(int32(-5))
    await client.closed
  })

  test('a frame of exactly the limit is read, and refused only for what it holds', async () => {
    const client = await connect(broker())
    const topic = await createTopic(client)
    const room = 32 * MIB - produceFrame(client, topic, Buffer.alloc(0)).length + 4
    // Compact lengths grow with the records: two bytes less than the naive difference.
    const frame = produceFrame(client, topic, Buffer.alloc(room - 3))
    expect(frame.readInt32BE(0)).toBe(32 * MIB)
    client.write(frame)
    const { responses } = await client.answer(Produce, 9, 1)
    expect(responses[0].partitionResponses[0].errorCode).toBe(Errors.INVALID_RECORD)
    expect(await isServed(client)).toBe(true)
  })

  function produceFrame(client: WireClient, topic: string, records: Buffer): Buffer {
    const call = { schema: Produce, version: 9, message: produceRequest(topic, records) }
    return client.frame(call, { correlationId: 1 })
  }
})

describe('what is not served closes the connection without an answer', () => {
  test.each([999, 0x7fff, -1, 6, 7, 58])('API key %i', async apiKey => {
    const client = await connect(broker())
    client.write(header(apiKey, 0))
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
  })

  test('versions outside the advertised range, of every API but ApiVersions', async () => {
    const { apiKeys } = await (await connect(broker())).request(ApiVersions, 3, software)
    const others = apiKeys.filter(({ apiKey }) => apiKey !== ApiVersions.key)
    expect(others.length).toBeGreaterThan(10)
    for (const { apiKey, minVersion, maxVersion } of others) {
      for (const version of [minVersion - 1, maxVersion + 1, 99]) {
        const client = await connect(broker())
        client.write(header(apiKey, version))
        await client.closed
        expect(client.unclaimedBytes).toBe(0)
      }
    }
  })

  test.each([0, 1, 2])('Produce v%i, advertised for old librdkafka and never served', async v => {
    const client = await connect(broker())
    client.write(header(Produce.key, v))
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
  })

  test('a body that does not decode', async () => {
    const client = await connect(broker())
    const message = { topics: [{ topicId: '', name: 'x' }], ...metadataFlags }
    const whole = client.frame({ schema: Metadata, version: 4, message }, { correlationId: 1 })
    const cut = whole.subarray(0, -3)
    cut.writeInt32BE(cut.length - 4)
    client.write(cut)
    await client.closed
    expect(client.unclaimedBytes).toBe(0)
  })
})

const metadataFlags = {
  allowAutoTopicCreation: false,
  includeClusterAuthorizedOperations: false,
  includeTopicAuthorizedOperations: false,
}

describe('ApiVersions', () => {
  test.each([99, 5, 0x7fff, -1])(
    'v%i gets a v0 body with error 35 and what to ask for',
    async v => {
      const client = await connect(broker())
      const request = header(ApiVersions.key, v)
      request.writeInt32BE(4711, 8)
      client.write(request)
      const answer = await client.nextFrame()
      // correlation id, error code, one key: 18, its lowest and highest version. Nothing else.
      const expected = Buffer.from(
        '00001267' + '0023' + '00000001' + '0012' + '0000' + '0004',
        'hex',
      )
      expect(answer.toString('hex')).toBe(expected.toString('hex'))
      expect(await isServed(client)).toBe(true)
    },
  )

  test('every version lists the same APIs, in order of their keys', async () => {
    const client = await connect(broker())
    const lists = []
    for (let version = 0; version <= 4; version++) {
      const message = version >= 3 ? software : nameless
      const { errorCode, apiKeys } = await client.request(ApiVersions, version, message)
      expect(errorCode).toBe(Errors.NONE)
      lists.push(apiKeys)
    }
    expect(new Set(lists.map(list => JSON.stringify(list))).size).toBe(1)
    const keys = lists[0].map(({ apiKey }) => apiKey)
    expect(keys).toEqual([...new Set(keys)].sort((a, b) => a - b))
  })

  test('the ranges hold what clients need of a broker (their feature gates)', async () => {
    const client = await connect(broker())
    const { apiKeys } = await client.request(ApiVersions, 0, nameless)
    const served = new Map(apiKeys.map(row => [row.apiKey, row]))
    const needed = [
      [0, 0, 11],
      [1, 4, 12],
      [2, 0, 9],
      [3, 0, 12],
      [10, 0, 6],
      [18, 0, 4],
      [19, 0, 7],
      [20, 0, 6],
      [22, 0, 5],
      [32, 0, 4],
      [37, 0, 3],
      [60, 0, 1],
    ]
    for (const [key, min, max] of needed) {
      const row = served.get(key)
      expect(row?.minVersion, `key ${key}`).toBe(min)
      expect(row?.maxVersion, `key ${key}`).toBeGreaterThanOrEqual(max)
    }
  })

  test.each(['', '-dash-first', 'space inside', 'ends.', 'ütf'])(
    'a client called "%s" is told INVALID_REQUEST and may try again',
    async name => {
      const client = await connect(broker())
      const message = { clientSoftwareName: name, clientSoftwareVersion: '1' }
      expect((await client.request(ApiVersions, 3, message)).errorCode).toBe(Errors.INVALID_REQUEST)
      expect((await client.request(ApiVersions, 2, nameless)).errorCode).toBe(Errors.NONE)
    },
  )
})

describe('header', () => {
  test('spare bytes behind a request are ignored', async () => {
    const client = await connect(broker())
    const call = { schema: ApiVersions, version: 0, message: nameless }
    const whole = client.frame(call, { correlationId: 77 })
    const longer = Buffer.concat([whole, Buffer.from('spare bytes')])
    longer.writeInt32BE(longer.length - 4)
    client.write(longer)
    expect((await client.answer(ApiVersions, 0, 77)).errorCode).toBe(Errors.NONE)
    expect(await isServed(client)).toBe(true)
  })

  test.each([
    ['null', null],
    ['empty', ''],
    ['of 255 bytes', 'c'.repeat(255)],
    ['not ASCII', 'zwirnspule ★'],
  ])('a client id that is %s is taken, in flexible versions too', async (_, clientId) => {
    const client = await connect(broker())
    for (const version of [0, 3]) {
      const message = version === 3 ? software : nameless
      client.write(
        client.frame(
          { schema: ApiVersions, version, message },
          { correlationId: version, clientId },
        ),
      )
      expect((await client.answer(ApiVersions, version, version)).errorCode).toBe(Errors.NONE)
    }
  })

  test.each([0, -1, 0x7fff_ffff, -0x8000_0000])(
    'correlation id %i comes back as it was',
    async correlationId => {
      const client = await connect(broker())
      const call = { schema: ApiVersions, version: 2, message: nameless }
      client.write(client.frame(call, { correlationId }))
      expect((await client.answer(ApiVersions, 2, correlationId)).errorCode).toBe(Errors.NONE)
    },
  )
})

describe('a peer that goes away', () => {
  test('in the middle of a frame leaves nothing behind', async () => {
    const watcher = await connect(broker())
    const topic = await createTopic(watcher)
    for (const cut of [1, 3, 4, 10, 40]) {
      const client = await connect(broker())
      const message = produceRequest(topic, batchOf(['never whole']))
      client.write(
        client
          .frame({ schema: Produce, version: 9, message }, { correlationId: 1 })
          .subarray(0, cut),
      )
      client.socket.end()
      await client.closed
    }
    expect(await readAll(watcher, topic)).toEqual([])
    expect(await isServed(watcher)).toBe(true)
  })

  test('with requests unanswered has them done all the same', async () => {
    const watcher = await connect(broker())
    const topic = await createTopic(watcher)
    const client = await connect(broker())
    const message = produceRequest(topic, batchOf(['sent, not awaited']))
    client.write(client.frame({ schema: Produce, version: 9, message }, { correlationId: 1 }))
    client.socket.end()
    await client.closed
    await expect.poll(() => readAll(watcher, topic)).toMatchObject([{ offset: 0 }])
  })
})
