import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { ProgressBar } from '../../src/cli/progress-bar.ts'

function terminal(isTTY: boolean) {
  let text = ''
  const stream = new PassThrough().on('data', chunk => {
    text += String(chunk)
  })
  const asTerminal = Object.assign(stream, { isTTY, columns: 80 }) as unknown as NodeJS.WriteStream
  return { stream: asTerminal, text: () => text }
}

test('a bar is drawn only once the work has taken a second', () => {
  const { stream, text } = terminal(true)
  let nowMs = 5000
  const bar = new ProgressBar(stream, () => nowMs)
  bar.update('recovering', 0, 4 << 20)
  nowMs += 999
  bar.update('recovering', 1 << 20, 4 << 20)
  expect(text()).toBe('')
  nowMs += 1
  bar.update('recovering', 2 << 20, 4 << 20)
  bar.stop()
  expect(text()).toContain('recovering')
  expect(text()).toContain('50% 2/4 MiB')
})

test('nothing is drawn where there is no terminal', () => {
  const { stream, text } = terminal(false)
  let nowMs = 0
  const bar = new ProgressBar(stream, () => nowMs)
  for (; nowMs < 5000; nowMs += 500) bar.update('recovering', nowMs, 5000)
  bar.stop()
  expect(text()).toBe('')
})
