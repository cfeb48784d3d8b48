import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { LineSplitter } from '../../src/cli/line-splitter.ts'
import { splitLines } from '../support/loghub.ts'

function split(chunks: readonly Buffer[], lineBytesMax = 1 << 20): string[] {
  const lines: string[] = []
  const splitter = new LineSplitter((source, start, end) => {
    lines.push(source.toString('latin1', start, end))
  }, lineBytesMax)
  for (const chunk of chunks) splitter.push(chunk)
  splitter.end()
  return lines
}

const latin1 = (lines: readonly Buffer[]): string[] => lines.map(line => line.toString('latin1'))

describe('LineSplitter', () => {
  test('finds the lines that are there, wherever the chunks end', () => {
    const byte = fc.constantFrom(10, 10, 13, 65, 66, 255)
    const chunk = fc.array(byte, { maxLength: 12 }).map(bytes => Buffer.from(bytes))
    fc.assert(
      fc.property(fc.array(chunk, { maxLength: 12 }), chunks => {
        expect(split(chunks)).toEqual(latin1(splitLines(Buffer.concat(chunks))))
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['', []],
    ['\n', ['']],
    ['a\r\nb', ['a\r', 'b']],
    ['a\n\n', ['a', '']],
  ])('%j is the lines %j', (text, expected) => {
    expect(split([Buffer.from(text)])).toEqual(expected)
  })

  test('a line longer than the limit is refused, however it comes', () => {
    const chunks = Array.from({ length: 11 }, () => Buffer.alloc(10, 'x'))
    expect(() => split(chunks, 109)).toThrow('a line is longer than 109 bytes')
    expect(split(chunks, 110)).toEqual(['x'.repeat(110)])
  })
})
