/** `odradek log recover` against a real broker, as a process. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { freePort } from '../support/free-port.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runCli } from './run-cli.ts'

async function recover(args: string) {
  const { code, stdout, stderr } = await runCli(['log', 'recover', ...args.split(' ')])
  return { code, stdout: String(stdout), stderr }
}

test('brings a partition back, and says why it cannot', async () => {
  const dataDirectory = await tempDirectory()
  const options = { dataDirectory, logLevel: 'silent' } as const
  const first = await startBroker(options)
  const admin = new Admin({ bootstrap: first.bootstrap })
  await admin.createTopic({ name: 'click-stream', partitions: 2 })
  await admin.close()
  await first.close()
  const metadata = join(dataDirectory, 'click-stream-0', 'partition.metadata')
  const kept = await readFile(metadata, 'utf8')
  await writeFile(metadata, kept.replace(/topic_id: .*/, 'topic_id: AAAAAAAAAAAAAAAAAAAAAQ'))
  const broker = await startBroker(options)
  onTestFinished(() => broker.close())
  const at = `--admin ${broker.httpUrl}`
  const refused = await recover(`click-stream-0 ${at}`)
  expect(refused).toMatchObject({ code: 1, stdout: '' })
  expect(refused.stderr).toMatch(/^odradek: click-stream-0 stays offline: .*\n$/)
  await writeFile(metadata, kept)
  expect(await recover(`click-stream-0 ${at}`)).toEqual({
    code: 0,
    stdout: 'click-stream-0 is online: offsets 0 to 0\n',
    stderr: '',
  })
  const json = await recover(`click-stream-1 ${at} --json`)
  expect(json.code).toBe(0)
  expect(JSON.parse(json.stdout)).toMatchObject({ topic: 'click-stream', partition: 1 })
  expect(await recover(`click-stream-7 ${at}`)).toEqual({
    code: 1,
    stdout: '',
    stderr: 'odradek: there is no partition 7 of topic "click-stream"\n',
  })
})

test('without a broker it says how to find one', async () => {
  const url = `http://127.0.0.1:${await freePort()}`
  const { code, stderr } = await recover(`clicks-0 --admin ${url}`)
  expect(code).toBe(1)
  expect(stderr).toMatch(new RegExp(`^odradek: no broker reached at ${url} .*--admin URL`))
})

test.each([
  ['clicks', 'it must be TOPIC-PARTITION, as in clicks-0'],
  ['clicks-x', 'it must be TOPIC-PARTITION'],
  ['clicks-0 --admin nonsense', 'It must be a URL'],
  ['clicks-0 --admin file:///etc/passwd', 'It must be a URL'],
])('log recover %s: exit 2', async (args, message) => {
  const { code, stderr } = await recover(args)
  expect(code).toBe(2)
  expect(stderr).toContain(message)
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
})

test('its help has an example', async () => {
  const { code, stdout } = await recover('--help')
  expect(code).toBe(0)
  expect(stdout).toContain('odradek log recover clicks-0')
  expect(stdout).toContain('--admin')
})
