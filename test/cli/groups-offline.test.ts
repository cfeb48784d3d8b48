/** `odradek groups` where a partition that the group reads is offline: what can be told is told, nothing is guessed. */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { startBroker } from '../../src/broker.ts'
import { Admin } from '../../src/client/admin.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runCli } from './run-cli.ts'

/** A broker where `clicks` has two partitions, the second of which does not open, and `readers` has committed both. */
async function halfBroken() {
  const dataDirectory = await tempDirectory()
  const options = { dataDirectory, logLevel: 'silent' } as const
  const first = await startBroker(options)
  const admin = new Admin({ bootstrap: first.bootstrap })
  await admin.createTopic({ name: 'clicks', partitions: 2 })
  const offsets = [0, 1].map(partition => ({ topic: 'clicks', partition, offset: 0 }))
  await admin.groups.commit('readers', offsets)
  await admin.close()
  await first.close()
  const metadata = join(dataDirectory, 'clicks-1', 'partition.metadata')
  const kept = await readFile(metadata, 'utf8')
  await writeFile(metadata, kept.replace(/topic_id: .*/, 'topic_id: AAAAAAAAAAAAAAAAAAAAAQ'))
  const broker = await startBroker(options)
  onTestFinished(() => broker.close())
  return broker
}

test('describe shows what can be known, reset changes nothing and says why', async () => {
  const { bootstrap, httpUrl } = await halfBroken()
  const groups = async (command: string) => {
    const { code, stdout, stderr } = await runCli([
      'groups',
      ...command.split(' '),
      ...['--bootstrap', bootstrap],
    ])
    return { code, stdout: String(stdout), stderr }
  }
  const described = await groups('describe readers')
  expect(described).toMatchObject({ code: 0, stderr: '' })
  expect(described.stdout).toMatch(/^clicks +0 +0 +0 +0 +-$/m)
  expect(described.stdout).toMatch(/^clicks +1 +0 +\? +\? +-$/m)
  for (const to of ['--to 1', '--to latest', '--to 2026-01-01', '--shift-by 1']) {
    const { code, stdout, stderr } = await groups(`reset readers --topic clicks ${to}`)
    expect({ to, code, stdout }).toEqual({ to, code: 1, stdout: '' })
    expect(stderr).toBe(
      'odradek: clicks-1: its log cannot be asked now, nothing was changed; GET /readyz of the broker says why\n',
    )
  }
  expect(await groups('reset readers --topic clicks:0 --to latest')).toMatchObject({ code: 0 })
  const told = await (await fetch(`${httpUrl}/v1/groups/readers`)).json()
  expect(told).toMatchObject({
    offsets: [
      { partition: 0, log_end_offset: '0', lag: '0' },
      { partition: 1, committed_offset: '0', log_end_offset: null, lag: null },
    ],
  })
})
