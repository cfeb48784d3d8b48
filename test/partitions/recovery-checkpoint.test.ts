/** What is noted of all partitions in the data directory: the text, what is not believed, what a failed write does. */
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { decodeFlushedEnds, encodeFlushedEnds } from '../../src/contracts/flushed-ends.ts'
import {
  loadFlushedEnds,
  RecoveryCheckpoint,
  ReplacedFile,
} from '../../src/partitions/recovery-checkpoint.ts'
import { tempDirectory } from '../support/temp-directory.ts'

let directory: string
const textOf = (name: string): Promise<string> => readFile(join(directory, name), 'latin1')
const clicks = { topicId: 'SgtU1TUAQb6ogUCPgTUAAQ', partition: 0, flushedEnd: 1500, logStart: 0 }
const views = { topicId: 'abcdefghijklmnopqrstuA', partition: 12, flushedEnd: 7, logStart: 7 }

beforeEach(async () => {
  directory = await tempDirectory()
})

test('our own file is tied to topic ids; log starts are also written as Kafka does', async () => {
  await writeFile(join(directory, 'recovery-point-offset-checkpoint'), '0\n1\nclicks 0 1\n')
  const checkpoint = new RecoveryCheckpoint(directory)
  const nothing = { topicId: '-bcdefghijklmnopqrst_w', partition: 0, flushedEnd: 0, logStart: 0 }
  await checkpoint.save([
    { topic: 'clicks', ...clicks },
    { topic: 'a-b', ...views },
    { topic: 'new', ...nothing },
  ])
  expect(await textOf('flushed-ends')).toMatch(
    /^version 1\nSgtU1TUAQb6ogUCPgTUAAQ 0 1500 0\nabcdefghijklmnopqrstuA 12 7 7\ncrc32c [0-9a-f]{8}\n$/,
  )
  expect(await textOf('log-start-offset-checkpoint')).toBe('0\n1\na-b 12 7\n')
  expect([...(await loadFlushedEnds(directory)).values()]).toEqual([clicks, views])
  await checkpoint.save([])
  expect(await textOf('log-start-offset-checkpoint')).toBe('0\n0\n')
  expect((await loadFlushedEnds(directory)).size).toBe(0)
  // Kafka would take what only a journal proves for synced segments.
  expect((await readdir(directory)).sort()).toEqual(['flushed-ends', 'log-start-offset-checkpoint'])
})

test('a file that is not whole says nothing: every bit of it, and every length', () => {
  const text = encodeFlushedEnds([clicks, views])
  expect(decodeFlushedEnds(text).size).toBe(2)
  for (let length = 0; length < text.length; length++) {
    expect(decodeFlushedEnds(text.slice(0, length)).size, `${length} characters`).toBe(0)
  }
  for (let bit = 0; bit < text.length * 8; bit++) {
    const bytes = Buffer.from(text, 'latin1')
    bytes[bit >> 3] ^= 1 << (bit & 7)
    expect(decodeFlushedEnds(bytes.toString('latin1')).size, `bit ${bit}`).toBe(0)
  }
})

test('without the file nothing is known', async () => {
  expect((await loadFlushedEnds(directory)).size).toBe(0)
})

test('a write that fails is tried again with the same text', async () => {
  const file = new ReplacedFile(directory, 'x')
  await mkdir(join(directory, 'x.tmp'))
  await expect(file.save('text')).rejects.toThrow()
  await rm(join(directory, 'x.tmp'), { recursive: true })
  await file.save('text')
  expect(await textOf('x')).toBe('text')
})
