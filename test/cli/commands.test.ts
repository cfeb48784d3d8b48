/** Client commands against a real broker, each as a process. */
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Broker, startBroker } from '../../src/broker.ts'
import { joinLines, loadCorpus } from '../support/loghub.ts'
import { makeTempDirectory, type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { type CliOptions, type CliResult, runCli, spawnCli } from './run-cli.ts'

/** A bound for what must come, not an expectation of when. */
const patience = { timeout: 30_000 }

let directory: TempDirectory
let broker: Broker

beforeAll(async () => {
  directory = await makeTempDirectory()
  broker = await startBroker({ http: false, dataDirectory: directory.path, logLevel: 'error' })
})
afterAll(async () => {
  await broker.close()
  await directory.remove()
})

/** Runs a command against the broker; it must succeed and say nothing on stderr. */
async function odradek(command: string, options?: CliOptions): Promise<string> {
  const { code, stdout, stderr } = await runAgainstBroker(command, options)
  expect({ command, stderr, code }).toEqual({ command, stderr: '', code: 0 })
  return stdout.toString('latin1')
}

function runAgainstBroker(command: string, options?: CliOptions): Promise<CliResult> {
  return runCli([...command.split(' '), '--bootstrap', broker.bootstrap], options)
}

describe('topics', () => {
  test('create, list, describe, alter, delete', async () => {
    expect(await odradek('topics create clicks --partitions 3 --config retention.ms=77')).toBe(
      'created clicks with 3 partitions\n',
    )
    expect(await odradek('topics list')).toMatch(
      /^TOPIC +PARTITIONS +ID\n(.*\n)*clicks +3 +\S{22}\n/,
    )
    expect(await odradek('topics describe clicks')).toMatch(
      /^clicks {2}id \S{22}\nretention.ms=77\nPARTITION +LEADER +START +END\n0 +\d+ +0 +0\n1 /,
    )
    expect(await odradek('topics alter clicks --partitions 4')).toBe(
      'clicks has 4 partitions now\n',
    )
    const changes = '--config retention.bytes=5 --config flush.ms=9 --delete-config retention.ms'
    expect(await odradek(`topics alter clicks ${changes} --partitions 5`)).toBe(
      'clicks: retention.bytes=5\nclicks: flush.ms=9\nclicks: retention.ms is back to its default\n' +
        'clicks has 5 partitions now\n',
    )
    expect(await odradek('topics describe clicks')).toMatch(
      /^clicks {2}id \S{22}\nflush.ms=9\nretention.bytes=5\nPARTITION/,
    )
    expect(await odradek('topics delete clicks')).toBe('deleted clicks\n')
    expect(await odradek('topics list')).not.toContain('clicks')
  })

  test('the same as JSON', async () => {
    const created = JSON.parse(await odradek('topics create json --json')) as { id: string }
    expect(created).toMatchObject({ name: 'json', partitions: 1 })
    expect(JSON.parse(await odradek('topics list --json'))).toContainEqual(created)
    expect(JSON.parse(await odradek('topics describe json --json'))).toEqual({
      name: 'json',
      id: created.id,
      partitions: [{ partition: 0, leader: expect.any(Number), startOffset: 0, endOffset: 0 }],
      configs: {},
    })
    const configs = { 'cleanup.policy': 'compact,delete', 'retention.ms': '8' }
    const flags = '--config cleanup.policy=compact,delete --config retention.ms=8 --json'
    expect(JSON.parse(await odradek(`topics alter json ${flags}`))).toEqual({
      name: 'json',
      configs,
    })
    expect(JSON.parse(await odradek('topics alter json --partitions 2 --json'))).toEqual({
      name: 'json',
      partitions: 2,
      configs,
    })
    expect(JSON.parse(await odradek('topics delete json --json'))).toEqual({ deleted: 'json' })
  })

  test('an alteration that is refused changes nothing and says why', async () => {
    await odradek('topics create steady --partitions 2')
    const before = await odradek('topics describe steady')
    for (const [changes, why] of [
      [
        '--config retention.msec=1',
        'Unknown topic config name: retention.msec, did you mean retention.ms?',
      ],
      ['--delete-config cleanup.polcy', 'did you mean cleanup.policy?'],
      [
        '--config flush.ms=1 --config retention.ms=soon',
        'Invalid value "soon" for topic config retention.ms',
      ],
      [
        '--config flush.ms=1 --partitions 1',
        'Topic steady has 2 partitions: 1 would not be an increase',
      ],
      ['--config flush.ms=x --partitions 3', 'Invalid value "x" for topic config flush.ms'],
    ]) {
      const { code, stdout, stderr } = await runAgainstBroker(`topics alter steady ${changes}`)
      expect({ code, stdout: String(stdout) }, changes).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^odradek: .*\n$/)
      expect(stderr).toContain(why)
    }
    const gone = await runAgainstBroker('topics alter gone --config flush.ms=1')
    expect(gone).toMatchObject({ code: 1, stderr: 'odradek: topic gone does not exist\n' })
    expect(await odradek('topics describe steady')).toBe(before)
  })
})

describe('produce and consume', { timeout: 180_000 }, () => {
  test.each(loadCorpus().files.map(({ name, lines }) => [name, lines] as const))(
    '%s goes in and comes out byte for byte',
    async (name, lines) => {
      const topic = `file-${name}`
      const input = await readFile(loadCorpus().files.find(file => file.name === name)!.path)
      expect(JSON.parse(await odradek(`produce ${topic} --json`, { input }))).toEqual({
        topic,
        records: lines.length,
      })
      const { stdout } = await runAgainstBroker(`consume ${topic} --exit-at-end`)
      expect(stdout.equals(joinLines(lines))).toBe(true)
    },
  )

  test('keys, headers, a partition, compression', async () => {
    await odradek('topics create keyed --partitions 4')
    const input = 'k1:v1\r\nno key\n:empty key\nk2:a:b'
    const flags = '--key-separator : --header h=1 --header i=x=y --partition 2 --compression zstd'
    expect(await odradek(`produce keyed ${flags} --acks 1`, { input })).toBe('')
    const format = ['--format', '%p %o [%k] [%v] %h']
    const { stdout } = await runCli([
      ...`consume keyed --exit-at-end --bootstrap ${broker.bootstrap}`.split(' '),
      ...format,
    ])
    expect(String(stdout)).toBe(
      [
        '2 0 [k1] [v1\r] h=1,i=x=y',
        '2 1 [] [no key] h=1,i=x=y',
        '2 2 [] [empty key] h=1,i=x=y',
        '2 3 [k2] [a:b] h=1,i=x=y\n',
      ].join('\n'),
    )
    const json = await odradek('consume keyed --exit-at-end --json --partition 2')
    const keys = json
      .trim()
      .split('\n')
      .map(line => (JSON.parse(line) as { key: string }).key)
    expect(keys).toEqual(['k1', null, '', 'k2'])
  })

  test('produce is told what is wrong with a record', async () => {
    await odradek('topics create tidy --config cleanup.policy=compact')
    const refused = await runAgainstBroker('produce tidy', { input: 'no key\n' })
    expect(refused.stderr).toContain('tidy-0: Compacted topic cannot accept message without key.')
    expect(refused.code).toBe(1)
    expect(await odradek('produce tidy --key-separator :', { input: 'k:v\n' })).toBe('')
  })

  test('consume begins where it is told and stops after so many', async () => {
    const lines = Array.from({ length: 50 }, (_, i) => `line ${i}\n`)
    await odradek('produce range --acks 0', { input: lines.join('') })
    await expect.poll(() => odradek('consume range --exit-at-end'), patience).toBe(lines.join(''))
    expect(await odradek('consume range --max-messages 3')).toBe(lines.slice(0, 3).join(''))
    expect(await odradek('consume range --from 47 --exit-at-end')).toBe(lines.slice(47).join(''))
    expect(await odradek('consume range --from end --exit-at-end')).toBe('')
    expect(await odradek('consume range --from 2001-02-03T04:05:06Z --exit-at-end')).toBe(
      lines.join(''),
    )
    expect(await odradek('consume range --from 2199-01-01 --exit-at-end')).toBe('')
  })

  test('consume waits for more, and a signal ends it with everything printed', async () => {
    await odradek('produce follow', { input: 'first\n' })
    const child = spawnCli(['consume', 'follow', '--bootstrap', broker.bootstrap])
    let text = ''
    child.stdout!.on('data', chunk => {
      text += String(chunk)
    })
    await expect.poll(() => text, patience).toBe('first\n')
    await odradek('produce follow', { input: 'second' })
    await expect.poll(() => text, patience).toBe('first\nsecond\n')
    const exited = new Promise(resolve => child.on('close', resolve))
    child.kill('SIGINT')
    expect(await exited).toBe(0)
  })

  test('a reader that goes away is no failure', async () => {
    await odradek('produce head', { input: 'x'.repeat(99).concat('\n').repeat(100_000) })
    const child = spawnCli(['consume', 'head', '--bootstrap', broker.bootstrap])
    let stderr = ''
    child.stderr!.on('data', chunk => {
      stderr += String(chunk)
    })
    child.stdout!.once('data', () => child.stdout!.destroy())
    const exited = new Promise(resolve => child.on('close', resolve))
    expect({ code: await exited, stderr }).toEqual({ code: 0, stderr: '' })
  })
})

describe('log dump', () => {
  async function segment(topic: string, suffix: string): Promise<string> {
    const path = join(directory.path, `${topic}-0`)
    const file = (await readdir(path)).find(name => name.endsWith(suffix))
    return join(path, file!)
  }

  test('prints batches and records of a segment that the broker wrote', async () => {
    await odradek('produce dump --compression gzip', { input: 'one\ntwo\n' })
    const path = await segment('dump', '.log')
    const text = await odradek2(['log', 'dump', path, '--records'])
    expect(text).toMatch(/^position: 0 baseOffset: 0 lastOffset: 1 count: 2 .*codec: gzip/)
    expect(text).toMatch(/\n\| offset: 0 timestamp: \d+ key: null value: "one" headers: \[\]\n/)
    const json = JSON.parse(await odradek2(['log', 'dump', path, '--records', '--json'])) as object
    expect(json).toMatchObject({
      baseOffset: 0,
      lastOffset: 1,
      codec: 'gzip',
      records: [{ value: 'one' }, { value: 'two' }],
    })
  })

  test('names the first byte that is wrong, after what is right', async () => {
    for (const input of ['one\n', 'two\n', 'three\n']) await odradek('produce broken', { input })
    const bytes = await readFile(await segment('broken', '.log'))
    const second = 12 + bytes.readInt32BE(8)
    const third = second + 12 + bytes.readInt32BE(second + 8)
    const copy = join(await tempDirectory(), '00000000000000000000.log')
    const dump = async (changed: Buffer) => {
      await writeFile(copy, changed)
      return runCli(['log', 'dump', copy])
    }
    const rotten = Buffer.from(bytes)
    rotten[second + 40] ^= 1
    const flipped = await dump(rotten)
    expect(flipped.code).toBe(1)
    expect(String(flipped.stdout).split('\n')).toHaveLength(2)
    expect(flipped.stderr).toMatch(`byte ${second}: CRC-32C does not match`)
    const torn = await dump(bytes.subarray(0, bytes.length - 1))
    expect(torn.code).toBe(1)
    expect(String(torn.stdout).split('\n')).toHaveLength(3)
    expect(torn.stderr).toMatch(`byte ${third}: a batch cut short`)
    const swapped = Buffer.concat([bytes.subarray(second), bytes.subarray(0, second)])
    expect((await dump(swapped)).stderr).toMatch(/offset 0 goes back/)
  })

  test('prints the entries of both indexes', async () => {
    const folder = await tempDirectory()
    const index = join(folder, '00000000000000000100.index')
    const entries = Buffer.alloc(24)
    for (const [at, value] of [7, 0, 19, 4200].entries()) entries.writeInt32BE(value, at * 4)
    await writeFile(index, entries)
    expect(await odradek2(['log', 'dump', index])).toBe(
      'offset: 107 position: 0\noffset: 119 position: 4200\n',
    )
    const timeIndex = join(folder, '00000000000000000100.timeindex')
    const times = Buffer.alloc(12)
    times.writeBigInt64BE(1_700_000_000_000n, 0)
    times.writeInt32BE(19, 8)
    await writeFile(timeIndex, times)
    expect(await odradek2(['log', 'dump', timeIndex, '--json'])).toBe(
      '{"timestamp":1700000000000,"offset":119}\n',
    )
  })

  /** Without a broker. */
  async function odradek2(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await runCli(args)
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    return String(stdout)
  }
})

describe('what fails', () => {
  test.each([
    ['consume nosuch', 1, 'topic nosuch does not exist'],
    ['topics describe nosuch', 1, 'topic nosuch does not exist'],
    ['topics delete nosuch', 1, 'topic nosuch does not exist'],
    ['topics create a/b', 1, 'a/b'],
    ['topics create x --config no.such=1', 1, 'no.such'],
    ['topics create x --partitions 0', 2, 'whole number from 1 on'],
    ['produce x --partition 99', 2, '--partition 99: topic x has partitions 0 to 0'],
    ['produce x --acks 2', 2, 'It must be 0, 1 or all'],
    ['consume x --from yesterday', 2, 'beginning, end, an offset or an ISO time'],
    ['consume x --format %z', 2, '%z means nothing'],
    ['consume x --group g --partition 0', 2, '--partition: members of a group are given'],
  ])('%s: exit %i and one line', async (command, code, message) => {
    const result = await runAgainstBroker(command)
    expect(result).toMatchObject({ code, stderr: expect.stringContaining(message) })
    expect(result.stderr).toMatch(/^odradek: .*\n$/)
    expect(String(result.stdout)).toBe('')
  })

  test('records that are refused fail the command', async () => {
    await odradek('topics create tiny --config max.message.bytes=100')
    const result = await runAgainstBroker('produce tiny', { input: 'x'.repeat(200) })
    expect(result).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('topic tiny takes 100'),
    })
  })
})
