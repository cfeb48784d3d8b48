/** Producer ids: never one twice, whatever is restarted or fails in between. */
import { rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { PRODUCER_ID_BLOCK, ProducerIds } from '../../src/topics/producer-ids.ts'
import { tempDirectory } from '../support/temp-directory.ts'

test('ids are unique over concurrent callers, block boundaries and crashes', async () => {
  const directory = await tempDirectory()
  const seen = new Set<number>()
  // Every round ends like a kill -9: the object is dropped, only the files stay.
  for (const count of [1, PRODUCER_ID_BLOCK, 2 * PRODUCER_ID_BLOCK + 1, 3, 1]) {
    const ids = await ProducerIds.open(directory)
    const given = await Promise.all(Array.from({ length: count }, () => ids.next()))
    for (const id of given) {
      expect(seen.has(id), `id ${id} was given before`).toBe(false)
      expect(id).toBeGreaterThanOrEqual(0)
      seen.add(id)
    }
    expect(given).toEqual([...given].sort((a, b) => a - b))
  }
})

test('no id leaves before its block is on disk', async () => {
  const directory = await tempDirectory()
  const ids = await ProducerIds.open(directory)
  const first = await ids.next()
  const other = await ProducerIds.open(directory)
  expect(await other.next()).toBeGreaterThan(first + PRODUCER_ID_BLOCK - 1)
})

test('when a block cannot be made durable the call rejects, is reported, and works again later', async () => {
  const directory = await tempDirectory()
  const warnings: string[] = []
  const gone = `${directory}/gone`
  const ids = await ProducerIds.open(gone, message => warnings.push(message))
  await expect(Promise.all([ids.next(), ids.next()])).rejects.toThrow(/ENOENT/)
  expect(warnings).toHaveLength(1)
  const { mkdir } = await import('node:fs/promises')
  await mkdir(gone)
  expect(await ids.next()).toBe(0)
  await rm(gone, { recursive: true })
  expect(await ids.next(), 'the rest of a durable block needs no disk').toBe(1)
})
