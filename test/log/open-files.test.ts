import { expect, test } from 'vitest'
import { OpenFiles } from '../../workers/log/open-files.ts'

test('at most so many files stay open, the least recently used go first', () => {
  const files = new OpenFiles(3)
  const closed: string[] = []
  const make = (name: string) => ({ closeFile: () => void closed.push(name) })
  const [a, b, c, d, e] = ['a', 'b', 'c', 'd', 'e'].map(make)
  for (const file of [a, b, c, a]) files.used(file)
  expect(closed).toEqual([])
  files.used(d)
  expect(closed).toEqual(['b'])
  // Closed by its owner: counts no longer, and is not closed again.
  files.forget(c)
  files.used(e)
  expect(closed).toEqual(['b'])
  files.used(b)
  expect(closed).toEqual(['b', 'a'])
})
