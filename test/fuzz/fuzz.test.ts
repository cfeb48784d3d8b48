/** The fuzzer itself: the same seed sends the same bytes, what it sends reaches deep, and what is broken is found. */
import { describe, expect, test } from 'vitest'
import { schemas } from '../protocol/schemas.ts'
import { BrokerUnderAttack } from './broker-under-attack.ts'
import { makeCase } from './cases.ts'
import { fuzzApi } from './fuzz.ts'
import { expectationOf, faultIn } from './oracle.ts'
import type { AnySchema } from './valid.ts'
import type { World } from './world.ts'

const world: World = {
  topics: ['fuzz-plain', '__consumer_offsets', 'fuzz-missing'],
  topicIds: ['BBBBBBBBBBBBBBBBBBBBBA'],
  groups: ['one', 'two'],
  members: [{ groupId: 'one', memberId: 'm', instanceId: null, generation: 1 }],
  producerId: 7,
  sessionId: 9,
}
const frameBytesMax = 2 * 1024 * 1024
const apiOf = (name: string) => schemas.find(api => api.name === name) as AnySchema

function eachVersion(visit: (api: AnySchema, version: number) => void): void {
  for (const api of schemas) {
    for (let version = api.versions[0]; version <= api.versions[1]; version++) visit(api, version)
  }
}

describe('cases', () => {
  test('are the same bytes for the same seed, and others for another', () => {
    eachVersion((api, version) => {
      for (let index = 0; index < 5; index++) {
        const { bytes } = makeCase(api, version, index, 1, world)
        expect(makeCase(api, version, index, 1, world).bytes.equals(bytes)).toBe(true)
      }
    })
    const api = apiOf('Metadata')
    const of = (seed: number) =>
      Buffer.concat([0, 1, 2].map(i => makeCase(api, 9, i, seed, world).bytes))
    expect(of(1).equals(of(2))).toBe(false)
  })

  test('are mostly requests that can be read, and in part not, of every API', () => {
    const counts = new Map(schemas.map(({ name }) => [name, { all: 0, readable: 0 }]))
    eachVersion((api, version) => {
      const count = counts.get(api.name) as { all: number; readable: number }
      for (let index = 0; index < 50; index++) {
        const { bytes } = makeCase(api, version, index, 3, world)
        const { closes, waits } = expectationOf(bytes, frameBytesMax)
        count.all++
        if (!closes && !waits) count.readable++
      }
    })
    for (const [name, { all, readable }] of counts) {
      expect(readable / all, name).toBeGreaterThan(0.4)
      expect(readable / all, name).toBeLessThan(0.95)
    }
  })

  test('that are meant to be right can be read', () => {
    eachVersion((api, version) => {
      for (let index = 0; index < 25; index++) {
        const { kind, bytes } = makeCase(api, version, index, 5, world)
        if (kind !== 'valid') continue
        const label = `${api.name} v${version} case ${index}`
        expect(expectationOf(bytes, frameBytesMax), label).toMatchObject({
          closes: false,
          waits: false,
        })
      }
    })
  })
})

describe('what is owed', () => {
  const heartbeat = apiOf('Heartbeat')
  const owed = { api: heartbeat, version: 1, correlationId: 5 }

  test.each([
    ['an answer', '00000005000000000000', null],
    ['another correlation id', '00000006000000000000', 'correlation id 6, not 5'],
    ['spare bytes', '0000000500000000000000', '1 spare bytes'],
    ['too few', '000000050000000000', 'not readable: truncated'],
    ['a code that Kafka does not have', '00000005000000007fff', 'error 32767'],
    ['a mistake of the broker', '0000000500000000ffff', 'error -1 (UNKNOWN_SERVER_ERROR)'],
  ])('%s', (_, hex, fault) => {
    const found = faultIn(Buffer.from(hex, 'hex'), owed)
    if (fault === null) expect(found).toBeNull()
    else expect(found).toContain(fault)
  })

  test.each([
    ['no more than a size', '0000', { waits: true }],
    ['a frame that is not whole', '0000000a00120000', { waits: true }],
    ['a negative size', 'ffffffff', { closes: true }],
    ['an unknown key', '0000000803e7000000000001', { closes: true }],
    ['an unknown version of ApiVersions', '000000080012006300000001', { closes: true }],
    ['the same with a client id', '0000000a0012000000000001ffff', { closes: false }],
  ])('%s', (_, hex, expected) => {
    expect(expectationOf(Buffer.from(hex, 'hex'), frameBytesMax)).toMatchObject(expected)
  })
})

/** Fuzzes one API of a broker that makes a mistake. @returns what was found */
async function findingOf(plant: string, name: string): Promise<string> {
  await using broker = await BrokerUnderAttack.start({ plant, answerTimeoutMs: 3000 })
  try {
    await fuzzApi(broker, apiOf(name), { seed: 1, count: 400 })
    await broker.stop()
  } catch (error) {
    return (error as Error).message
  }
  return 'nothing'
}

test.each([
  ['throws at once', 'DescribeCluster', /process has ended.*fatal.*planted/s],
  ['throws a RangeError', 'DescribeCluster', /no answer, but closed.*--case \d+ --seed 1/s],
  ['rejects later', 'DescribeCluster', /no answer, but closed/],
  ['answers with a code that does not exist', 'Heartbeat', /wrong answer: error 999/],
  ['keeps memory of every request', 'ListGroups', /memory has grown by/],
  ['keeps requests open', 'ListGroups', /not answered/],
  ['forgets what others committed', 'ListGroups', /the honest client suffers/],
])('a broker that %s is found out', async (plant, api, finding) => {
  expect(await findingOf(plant, api)).toMatch(finding)
})
