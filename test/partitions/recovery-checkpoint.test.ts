/** Kafka's files of offsets per partition: their text, what is not believed, and what a failed write does. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, expect, test } from 'vitest'
import { OffsetsFile, RecoveryCheckpoint } from '../../src/partitions/recovery-checkpoint.ts'
import { tempDirectory } from '../support/temp-directory.ts'

let directory: string
const textOf = (name: string): Promise<string> => readFile(join(directory, name), 'latin1')

beforeEach(async () => {
  directory = await tempDirectory()
})

test('both files, as Kafka writes them', async () => {
  const checkpoint = new RecoveryCheckpoint(directory)
  await checkpoint.save([
    { topic: 'clicks', partition: 0, recoveryPoint: 1500, logStart: 0 },
    { topic: 'a-b', partition: 12, recoveryPoint: 7, logStart: 7 },
    { topic: 'os', partition: 0, recoveryPoint: 0, logStart: 3 },
    { topic: 'new', partition: 0, recoveryPoint: 0, logStart: 0 },
  ])
  expect(await textOf('recovery-point-offset-checkpoint')).toBe('0\n2\nclicks 0 1500\na-b 12 7\n')
  expect(await textOf('log-start-offset-checkpoint')).toBe('0\n2\na-b 12 7\nos 0 3\n')
  expect(await new RecoveryCheckpoint(directory).load()).toEqual(
    new Map([
      ['clicks-0', 1500],
      ['a-b-12', 7],
    ]),
  )
  await checkpoint.save([])
  expect(await textOf('log-start-offset-checkpoint')).toBe('0\n0\n')
})

test('what is not whole is not believed', async () => {
  const file = new OffsetsFile(directory, 'x')
  expect(await file.load()).toEqual(new Map())
  for (const text of ['', '0\n', '1\n1\na 0 5\n', '0\n2\na 0 5\n', '0\n1\na 0 -5\n', '0\n1\na 0']) {
    await writeFile(join(directory, 'x'), text)
    expect(await file.load(), text).toEqual(new Map())
  }
})

test('a write that fails is tried again with the same offsets', async () => {
  const file = new OffsetsFile(directory, 'x')
  const offsets = [{ topic: 'a', partition: 0, offset: 5 }]
  await mkdir(join(directory, 'x.tmp'))
  await expect(file.save(offsets)).rejects.toThrow()
  await rm(join(directory, 'x.tmp'), { recursive: true })
  await file.save(offsets)
  expect(await file.load()).toEqual(new Map([['a-0', 5]]))
})
