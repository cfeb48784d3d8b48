/** The two-copy metadata file against every way one of its files can be cut short or rot. */
import { copyFile, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { MetadataCorruptError, TwoGenerationFile } from '../../src/topics/two-generation-file.ts'
import { tempDirectory } from '../support/temp-directory.ts'

const read = async (path: string) => (await new TwoGenerationFile(path).load())?.toString() ?? null

async function write(path: string, ...contents: string[]): Promise<void> {
  const file = new TwoGenerationFile(path)
  await file.load()
  for (const content of contents) await file.save(Buffer.from(content))
}

async function freshPath(): Promise<string> {
  return join(await tempDirectory(), 'meta')
}

test('nothing written reads as nothing, and every save replaces the one before', async () => {
  const path = await freshPath()
  expect(await read(path)).toBe(null)
  for (const content of ['one', '', 'three\nlines\n', 'x'.repeat(100_000)]) {
    await write(path, content)
    expect(await read(path)).toBe(content)
  }
})

test('a save cut short at any byte leaves the old content or the new, and the next save holds', async () => {
  const path = await freshPath()
  await write(path, 'old')
  await copyFile(`${path}-a`, `${path}-old`)
  await write(path, 'new')
  const whole = await readFile(`${path}-a`)
  for (let length = 0; length <= whole.length; length++) {
    // What a crash leaves: the first copy half written, the second still the old generation.
    await writeFile(`${path}-a`, whole.subarray(0, length))
    await copyFile(`${path}-old`, `${path}-b`)
    expect(await read(path), `cut at ${length}`).toBe(length === whole.length ? 'new' : 'old')
    await write(path, 'after')
    expect(await read(path)).toBe('after')
    await rm(`${path}-a`)
    expect(await read(path), 'both copies hold the last save').toBe('after')
  }
})

test('one flipped bit anywhere in one copy changes nothing and is reported', async () => {
  const path = await freshPath()
  await write(path, 'first', 'precious')
  for (const copy of ['a', 'b']) {
    const whole = await readFile(`${path}-${copy}`)
    for (let index = 0; index < whole.length; index++) {
      const rotten = Buffer.from(whole)
      rotten[index] ^= 1 << (index % 8)
      await writeFile(`${path}-${copy}`, rotten)
      const warnings: string[] = []
      const file = new TwoGenerationFile(path, message => warnings.push(message))
      expect((await file.load())?.toString(), `${copy} byte ${index}`).toBe('precious')
      expect(warnings).toHaveLength(1)
      expect(warnings[0]).toContain(`meta-${copy}`)
    }
    await writeFile(`${path}-${copy}`, whole)
  }
})

test('when both copies are damaged the load refuses, names both and changes neither', async () => {
  const path = await freshPath()
  await write(path, 'precious')
  const whole = await readFile(`${path}-a`)
  for (let index = 0; index < whole.length; index += 3) {
    const rotten = Buffer.from(whole)
    rotten[index] ^= 0x40
    await writeFile(`${path}-a`, rotten)
    await writeFile(`${path}-b`, whole.subarray(0, index))
    const refused = await read(path).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(MetadataCorruptError)
    expect((refused as Error).message).toMatch(/meta-a .*meta-b /)
    expect(await readFile(`${path}-a`)).toEqual(rotten)
    expect((await stat(`${path}-b`)).size).toBe(index)
  }
})

test('a damaged copy beside a missing one is refused: content was lost', async () => {
  const path = await freshPath()
  await write(path, 'precious')
  await rm(`${path}-b`)
  await writeFile(`${path}-a`, 'odradek 1 1')
  await expect(read(path)).rejects.toThrow(MetadataCorruptError)
})

test('a first save that a crash cut short counts as never made', async () => {
  const path = await freshPath()
  await writeFile(`${path}-a.new`, 'odradek 1 1 0123')
  expect(await read(path)).toBe(null)
  await write(path, 'now')
  expect(await read(path)).toBe('now')
})

test('a generation after a fallback is above both, so the newest always wins', async () => {
  const path = await freshPath()
  await write(path, 'one', 'two', 'three')
  const newest = await readFile(`${path}-a`)
  await writeFile(`${path}-a`, 'rot')
  await write(path, 'four')
  await writeFile(`${path}-b`, newest)
  expect(await read(path), 'three came back as copy b').toBe('four')
})

test('when the directory is gone the save rejects', async () => {
  const directory = await tempDirectory()
  const file = new TwoGenerationFile(join(directory, 'meta'))
  await file.load()
  await rm(directory, { recursive: true })
  await expect(file.save(Buffer.from('lost'))).rejects.toThrow(/ENOENT/)
})
