/** The calls as REST Proxy's documentation and its users make them: by curl, a GET with a body included. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { requireCommand } from '../../support/requires.ts'
import { binaryV2, type Json, jsonV2, startRest, v2 } from './rest-kit.ts'

const run = promisify(execFile)

test('curl goes through all of it', async context => {
  const curl = requireCommand(context, 'curl')
  const { broker } = await startRest({ 'num.partitions': 1 })
  const base = broker.httpUrl!
  const ask = async (...args: string[]) => {
    const { stdout } = await run(curl, ['-sS', '-w', '\n%{http_code}', ...args], {
      timeout: 60_000,
    })
    const cut = stdout.lastIndexOf('\n')
    return { status: Number(stdout.slice(cut)), body: stdout.slice(0, cut) }
  }
  const type = (name: string) => ['-H', `Content-Type: ${name}`]
  const records = '{"records":[{"value":{"foo":"bar"}}]}'
  expect(await ask(...type(jsonV2), '-d', records, `${base}/topics/jsontest`)).toEqual({
    status: 200,
    body:
      '{"offsets":[{"partition":0,"offset":0,"error_code":null,"error":null}],' +
      '"key_schema_id":null,"value_schema_id":null}',
  })
  const binary = '{"records":[{"key":"a2V5","value":"Y29uZmx1ZW50"}]}'
  const toPartition = `${base}/topics/jsontest/partitions/0`
  expect((await ask(...type(binaryV2), '-d', binary, toPartition)).status).toBe(200)

  const config = '{"name":"my_instance","format":"binary","auto.offset.reset":"earliest"}'
  const created = await ask(...type(v2), '-d', config, `${base}/consumers/my_group`)
  const instance = `${base}/consumers/my_group/instances/my_instance`
  expect(created).toEqual({
    status: 200,
    body: `{"instance_id":"my_instance","base_uri":"${instance}"}`,
  })
  const topics = '{"topics":["jsontest"]}'
  expect((await ask(...type(v2), '-d', topics, `${instance}/subscription`)).status).toBe(204)
  const read = await ask('-H', `Accept: ${binaryV2}`, `${instance}/records?timeout=10000`)
  expect(read).toEqual({
    status: 200,
    body:
      '[{"topic":"jsontest","key":null,"value":"eyJmb28iOiJiYXIifQ==","partition":0,"offset":0},' +
      '{"topic":"jsontest","key":"a2V5","value":"Y29uZmx1ZW50","partition":0,"offset":1}]',
  })
  const commit = '{"offsets":[{"topic":"jsontest","partition":0,"offset":0}]}'
  // A large body makes curl wait for "100 Continue".
  const expecting = ['-H', 'Expect: 100-continue', '--expect100-timeout', '30']
  expect(await ask(...expecting, ...type(v2), '-d', commit, `${instance}/offsets`)).toEqual({
    status: 200,
    body: '',
  })
  const asked = '{"partitions":[{"topic":"jsontest","partition":0}]}'
  const committed = '{"offsets":[{"topic":"jsontest","partition":0,"offset":1,"metadata":""}]}'
  const withBody = await ask('-X', 'GET', ...type(v2), '-d', asked, `${instance}/offsets`)
  expect(withBody).toEqual({ status: 200, body: committed })
  expect(await ask(`${instance}/offsets`)).toEqual({ status: 200, body: committed })
  const unknown = '{"partitions":[{"topic":"jsontest","partition":7}]}'
  const refused = await ask('-X', 'GET', ...type(v2), '-d', unknown, `${instance}/offsets`)
  expect(refused).toMatchObject({ status: 404, body: expect.stringContaining('40402') })
  // Some clients say a type where there is no body.
  expect((await ask('-X', 'DELETE', ...type(v2), instance)).status).toBe(204)
})

test('the OpenAPI document tells of every route', async () => {
  const { broker } = await startRest()
  const answer = await fetch(`${broker.httpUrl}/openapi.json`)
  const { paths } = (await answer.json()) as Json
  const instance = '/consumers/{group}/instances/{instance}'
  expect(Object.keys(paths)).toEqual(
    expect.arrayContaining([
      '/topics',
      '/topics/{topic}',
      '/topics/{topic}/partitions',
      '/topics/{topic}/partitions/{partition}',
      '/topics/{topic}/partitions/{partition}/offsets',
      '/consumers/{group}',
      instance,
      ...['subscription', 'assignments', 'positions', 'records', 'offsets'].map(
        name => `${instance}/${name}`,
      ),
      `${instance}/positions/beginning`,
      `${instance}/positions/end`,
    ]),
  )
  const { content } = paths['/topics/{topic}'].post.requestBody
  expect(Object.keys(content)).toEqual(expect.arrayContaining([jsonV2, binaryV2]))
  const body = paths['/consumers/{group}'].post.requestBody.content
  expect(JSON.stringify(body)).toContain('auto.offset.reset')
})
