/** Taking over a directory of Apache Kafka: what is checked before anything is written, and what is written then. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { adoptDirectory } from '../../src/adoption/adopt.ts'
import { parseAdoptConfigs } from '../../src/adoption/adopt-configs.ts'
import { loadConfig } from '../../src/config/config.ts'
import { decodeMarks } from '../../src/contracts/log-marks.ts'
import { DataDirectory } from '../../src/data-directory.ts'
import { ProducerIds } from '../../src/topics/producer-ids.ts'
import { FileTopicStore } from '../../src/topics/topic-store.ts'
import { newUuid } from '../../src/topics/uuid.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const meta = 'version=1\nnode.id=1\ncluster.id=abcdefghijklmnopqrstuv\ndirectory.id=x\n'

const tight = { 'max.partitions': '1', 'num.partitions': '1' }

/** Lays out partitions by name with their topic ids (null: no partition.metadata). */
async function layOut(partitions: Record<string, string | null>): Promise<string> {
  const data = await tempDirectory()
  await writeFile(join(data, 'meta.properties'), meta)
  for (const [name, id] of Object.entries(partitions)) {
    await mkdir(join(data, name))
    await writeFile(join(data, name, `${'0'.repeat(20)}.log`), '')
    if (id === null) continue
    await writeFile(join(data, name, 'partition.metadata'), `version: 0\ntopic_id: ${id}`)
  }
  return data
}

async function adopt(data: string, file: string, set: Record<string, string> = {}) {
  const notes: string[] = []
  const adoption = {
    configs: parseAdoptConfigs(file, 'topics.yaml'),
    config: loadConfig({ set }),
    onNote: (note: string) => void notes.push(note),
  }
  const open = () => DataDirectory.open(data, 1, directory => adoptDirectory(directory, adoption))
  const directory = await open()
  return { directory, notes, [Symbol.asyncDispose]: () => directory.close() }
}

const refusal = (data: string, file: string, set?: Record<string, string>): Promise<string> =>
  adopt(data, file, set).then(
    () => 'taken over',
    (error: Error) => error.message,
  )

/** Names and contents of all small files. */
async function snapshot(data: string): Promise<Record<string, string>> {
  const names = await readdir(data, { recursive: true, withFileTypes: true })
  const files = names.filter(entry => entry.isFile() && entry.name !== 'odradek.lock')
  const paths = files.map(({ parentPath, name }) => join(parentPath, name)).sort()
  return Object.fromEntries(
    await Promise.all(paths.map(async path => [path, await readFile(path, 'latin1')])),
  )
}

describe('refused, and nothing is written', () => {
  const [a, b] = [newUuid(), newUuid()]
  const cases: [string, Record<string, string | null>, string, RegExp, Record<string, string>?][] =
    [
      ['a topic without configs', { 'x-0': a, 'y-0': b }, 'x: {}', /lacks topic y.*"y: \{\}"/],
      ['an empty file', { 'x-0': a, 'y-0': b }, '', /lacks topics x, y,/],
      ['a topic that is not there', { 'x-0': a }, '{ x: {}, z: {} }', /has no topic z/],
      ['a partition of another broker', { 'x-0': a, 'x-2': a }, 'x: {}', /x-1 is missing/],
      ['left-overs of another topic', { 'x-0': a, 'x-1': b }, 'x: {}', /different topic ids/],
      ['a copied topic', { 'x-0': a, 'y-0': a }, '{ x: {}, y: {} }', /y and .* same topic id/],
      ['an unknown config', { 'x-0': a }, 'x: { segment.byte: 1 }', /topic x: .*segment\.bytes\?/],
      ['an impossible value', { 'x-0': a }, 'x: { retention.ms: -5 }', /topic x: .*retention\.ms/],
      [
        'configs that contradict',
        { 'x-0': a },
        'x: { min.compaction.lag.ms: 9, max.compaction.lag.ms: 1 }',
        /topic x: min\.compaction\.lag\.ms/,
      ],
      ['too many', { 'x-0': a, 'x-1': a }, 'x: {}', /2 partitions, the limit is 1/, tight],
      ['a list', { 'x-0': a }, '[x]', /names with values/],
      ['no YAML', { 'x-0': a }, 'x: {', /--adopt topics\.yaml: /],
    ]
  test.each(cases)('%s', async (_, partitions, file, message, set) => {
    const data = await layOut(partitions)
    const before = await snapshot(data)
    expect(await refusal(data, file, set)).toMatch(message)
    expect(await snapshot(data)).toEqual(before)
  })

  test('another node id', async () => {
    const data = await layOut({ 'x-0': a })
    await expect(DataDirectory.open(data, 2, () => Promise.resolve())).rejects.toThrow(
      '--broker-id 1',
    )
  })
})

test('values of the file are texts: whole numbers to the last digit, lists with commas', () => {
  const file =
    'x: { flush.ms: 9223372036854775807, cleanup.policy: [compact, delete], a: true, b: 0.5 }'
  expect([...parseAdoptConfigs(file, 'f').get('x')!]).toEqual([
    ['flush.ms', '9223372036854775807'],
    ['cleanup.policy', 'compact,delete'],
    ['a', 'true'],
    ['b', '0.5'],
  ])
  expect(() => parseAdoptConfigs('x: { a: { b: 1 } }', 'f')).toThrow('topic x: a must be a single')
  expect(() => parseAdoptConfigs('x: { a: }', 'f')).toThrow('topic x: a must be a single value')
})

describe('taken over', () => {
  test('topics with ids and configs, log starts, compaction, producer ids, identity', async () => {
    const [a, b] = [newUuid(), newUuid()]
    const data = await layOut({ 'my-topic-0': a, 'my-topic-1': null, 'x-0': b, 'old-0': null })
    await writeFile(join(data, 'log-start-offset-checkpoint'), '0\n1\nmy-topic 1 700\n')
    await writeFile(join(data, 'cleaner-offset-checkpoint'), '0\n1\nx 0 42\n')
    const file = 'my-topic: { retention.ms: -1, cleanup.policy: "compact,delete" }\nx: {}\nold:\n'
    await using adopted = await adopt(data, file)
    const records = await new FileTopicStore(data).load()
    const configs = [
      ['retention.ms', '-1'],
      ['cleanup.policy', 'compact,delete'],
    ]
    expect(records).toMatchObject([
      { name: 'my-topic', id: a, partitions: 2, configs, state: 'live' },
      { name: 'old', partitions: 1, configs: [] },
      { name: 'x', id: b, partitions: 1, configs: [] },
    ])
    const marksOf = async (name: string) =>
      decodeMarks(await readFile(join(data, name, 'log-marks')))!.logStart
    expect([await marksOf('my-topic-0'), await marksOf('my-topic-1')]).toEqual([0, 700])
    expect(await readdir(join(data, 'x-0'))).toContain(`${'42'.padStart(20, '0')}.compacted`)
    expect(await (await ProducerIds.open(data)).next()).toBe(2 ** 40)
    expect(adopted.directory).toMatchObject({ clusterId: 'abcdefghijklmnopqrstuv', brokerId: 1 })
    const identity = await readFile(join(data, 'meta.properties'), 'latin1')
    expect(identity).toBe(`${meta}odradek.format=1\n`)
  })

  test("Kafka's own directories and those being deleted are left alone and named", async () => {
    const id = newUuid()
    const deleted = `x-1.${'0'.repeat(32)}-delete`
    const own = ['__cluster_metadata-0', '__consumer_offsets-7', '__transaction_state-3', deleted]
    const data = await layOut({ 'x-0': id, ...Object.fromEntries(own.map(name => [name, null])) })
    await writeFile(join(data, 'x-0', `${'0'.repeat(20)}.txnindex`), 'one entry')
    const before = await snapshot(data)
    await using adopted = await adopt(data, 'x: {}')
    const after = await snapshot(data)
    for (const path of Object.keys(before).filter(path => own.some(name => path.includes(name))))
      expect(after[path]).toBe(before[path])
    expect(Object.keys(after).filter(path => own.some(name => path.includes(name)))).toHaveLength(4)
    const notes = adopted.notes.join('\n')
    for (const name of own) expect(notes).toContain(name)
    expect(notes).toMatch(/aborted transactions are in x-0/)
    expect(notes).toMatch(/offsets of consumer groups are not taken over/)
  })

  test('the topic of consumer groups is taken over with configs of its own', async () => {
    const id = newUuid()
    const offsets = { '__consumer_offsets-0': id, '__consumer_offsets-1': id }
    const data = await layOut({ 'x-0': newUuid(), ...offsets })
    await using adopted = await adopt(data, 'x: {}')
    expect(adopted.notes).toEqual(['took over 2 topics with 3 partitions from Apache Kafka'])
    const records = await new FileTopicStore(data).load()
    const configs = new Map(records.find(({ name }) => name === '__consumer_offsets')?.configs)
    expect(configs.get('cleanup.policy')).toBe('compact')
  })

  test('a crash before the mark leaves a directory of Kafka, and the next try takes it over', async () => {
    const data = await layOut({ 'x-0': newUuid() })
    const crash = async (directory: string) => {
      const configs = parseAdoptConfigs('x: {}', 'topics.yaml')
      await adoptDirectory(directory, { configs, config: loadConfig(), onNote: () => undefined })
      throw new Error('crash')
    }
    await expect(DataDirectory.open(data, 1, crash)).rejects.toThrow('crash')
    await expect(DataDirectory.open(data, 1)).rejects.toThrow('--adopt FILE')
    await using adopted = await adopt(data, 'x: { retention.ms: 5 }')
    expect(adopted.notes[0]).toBe('took over 1 topics with 1 partitions from Apache Kafka')
    expect(await new FileTopicStore(data).load()).toMatchObject([
      { configs: [['retention.ms', '5']] },
    ])
  })

  test('a directory that is ours is opened as it is', async () => {
    const data = await layOut({ 'x-0': newUuid() })
    await adopt(data, 'x: {}').then(({ directory }) => directory.close())
    const before = await snapshot(data)
    await using again = await adopt(data, 'something: {}')
    expect(again.notes).toEqual([])
    expect(await snapshot(data)).toEqual(before)
  })
})

test('what odradek noted of a directory that Kafka had since is dropped', async () => {
  const data = await layOut({ 'clicks-0': newUuid() })
  const ours = ['flushed-ends', 'journal-0-a', 'clicks-0/00000000000000000007.window']
  for (const name of ours) await writeFile(join(data, name), 'x')
  await using _ = await adopt(data, 'clicks: {}')
  const names = await readdir(data, { recursive: true })
  expect(names.filter(name => ours.includes(name))).toEqual([])
})
