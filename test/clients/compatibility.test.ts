/** The table of docs/compatibility.md is that of the recorded results, and these are of the scenarios there are. */
import { readdir, readFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { clientDrivers } from './compatibility/drivers.ts'
import {
  type ClientResult,
  differences,
  documentFile,
  recordedResults,
  table,
  withTable,
} from './compatibility/results.ts'
import { scenarios } from './compatibility/scenarios.ts'
import { fromLine, toLine } from './compatibility/wire.ts'

const ids = clientDrivers.map(({ id }) => id)

describe('docs/compatibility.md', () => {
  test('has every scenario, and none that is gone, for every client in it', async () => {
    const expected = scenarios.map(({ id }) => id)
    const recorded = await recordedResults()
    expect(recorded.length).toBeGreaterThan(0)
    for (const { id, outcomes } of recorded) {
      expect(ids).toContain(id)
      expect(Object.keys(outcomes).toSorted()).toEqual(expected.toSorted())
      expect(Object.values(outcomes)).not.toContain('failed')
    }
  })

  test('has the table of the recorded results', async () => {
    const text = await readFile(documentFile, 'utf8')
    expect(text).toBe(withTable(text, table(await recordedResults(), scenarios)))
  })

  test('every client has a file that plays the scenarios', async () => {
    const names = await readdir(new URL('compatibility', import.meta.url))
    const players = names.filter(name => name.endsWith('.compat.ts'))
    expect(players.toSorted()).toEqual(ids.map(id => `${id}.compat.ts`).toSorted())
    for (const id of ids) {
      const text = await readFile(new URL(`compatibility/${id}.compat.ts`, import.meta.url), 'utf8')
      expect(text).toContain(`compatibilityOf('${id}')`)
    }
  })
})

describe('a run is compared with what is recorded', () => {
  const result = (outcomes: ClientResult['outcomes']) => [
    { id: 'a', title: 'A', version: '1', outcomes },
  ]

  test('what a client does now, no longer, or not any more is a difference', () => {
    const cannot = { cannot: 'A has none' }
    const before = result({ one: 'passed', two: cannot, three: 'passed' })
    expect(differences(before, before)).toEqual([])
    expect(differences(result({ one: 'passed', two: 'passed', four: 'passed' }), before)).toEqual([
      'A: two is "passed", recorded {"cannot":"A has none"}',
      'A: four is "passed", recorded undefined',
      'A: three is undefined, recorded "passed"',
    ])
    expect(differences(before, [])).toEqual(['A: nothing is recorded'])
  })

  test('a reason is told once, below the table', () => {
    const found = result({ one: { cannot: 'A has none' }, two: { cannot: 'A has none' } })
    const rows = ['one', 'two'].map(id => ({ id, title: `the ${id}` }))
    expect(table(found, rows)).toBe(
      '|  | A 1 |\n| --- | --- |\n| the one | – (1) |\n| the two | – (1) |\n\n1. A has none.\n',
    )
  })
})

test('bytes go through the lines to a driver and back', () => {
  const record = {
    key: null,
    value: Buffer.from([0, 0xff, 10]),
    headers: [['h', Buffer.from('x')]],
  }
  const message = { id: 1, call: 'produce', args: { topic: 't', records: [record] } }
  const line = toLine(message)
  expect(line.indexOf('\n')).toBe(line.length - 1)
  expect(fromLine(line)).toEqual(message)
})
