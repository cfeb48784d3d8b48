/** Topic metadata on disk: round trips, and documents that are not ours. */
import { expect, test } from 'vitest'
import { topicNameError } from '../../src/topics/topic-names.ts'
import { FileTopicStore, type TopicRecord } from '../../src/topics/topic-store.ts'
import { MetadataCorruptError, TwoGenerationFile } from '../../src/topics/two-generation-file.ts'
import { newUuid } from '../../src/topics/uuid.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const record = (name: string, more: Partial<TopicRecord> = {}): TopicRecord => ({
  name,
  id: newUuid(),
  partitions: 3,
  configs: [
    ['retention.ms', '-1'],
    ['cleanup.policy', 'compact,delete'],
  ],
  state: 'live',
  ...more,
})

test('what was saved is loaded in the same order, legal but odd names included', async () => {
  const directory = await tempDirectory()
  const names = ['z', '__proto__', 'constructor', 'a'.repeat(249), '0', '10', '9', '_.-']
  const records = [...names.map(name => record(name)), record('gone', { state: 'deleting' })]
  await new FileTopicStore(directory).save(records)
  expect(await new FileTopicStore(directory).load()).toEqual(records)
})

test('an empty directory has no topics', async () => {
  expect(await new FileTopicStore(await tempDirectory()).load()).toEqual([])
})

test('an intact document that is not a list of topics is refused', async () => {
  const documents = [
    '{"format":2,"topics":[]}',
    '{"format":1}',
    '{"format":1,"topics":[{"name":"../x"}]}',
    JSON.stringify({ format: 1, topics: [record('a/b')] }),
    JSON.stringify({ format: 1, topics: [record('a', { partitions: 0 })] }),
  ]
  for (const document of documents) {
    const directory = await tempDirectory()
    await new TwoGenerationFile(`${directory}/topics`).save(Buffer.from(document))
    await expect(new FileTopicStore(directory).load(), document).rejects.toThrow(
      MetadataCorruptError,
    )
  }
})

test('topic names follow Kafka’s rule', () => {
  for (const name of ['a', '.a', '...', '__proto__', 'A-b_c.9', 'x'.repeat(249)])
    expect(topicNameError(name), name).toBe(null)
  const bad = [
    '',
    '.',
    '..',
    'a/b',
    '../x',
    'a b',
    'a\0',
    'ä',
    '%2e',
    'a\n',
    'x'.repeat(250),
    '\u2028',
  ]
  for (const name of bad) expect(topicNameError(name), JSON.stringify(name)).not.toBe(null)
})
