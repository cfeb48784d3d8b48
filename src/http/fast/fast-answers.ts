/**
 * Answers of the hot path as bytes. A good one is a copy of the one before, of the same partition, with the digits of
 * its base offset put in; neighbours lie side by side in one slab and leave as one write. Dispatcher thread.
 *
 *   HTTP/1.1 200 OK ... {"topic":"t","partition":0,"base_offset":"     12","count":1,"durable":true}
 *                                                                 patched ↑ offsetEnd
 */
import { STATUS_CODES } from 'node:http'
import type { OutputQueue } from '../../net/output-queue.ts'
import type { Problem } from '../problem.ts'
import { producedBody } from '../raw/produced-body.ts'
import type { PendingAnswer } from './pending-answers.ts'

const slabBytes = 64 * 1024

export interface AnswerTemplate {
  readonly count: number
  readonly isDurable: boolean
  /** As of which second its Date is. */
  readonly date: string
  /** Fits base offsets in [low, high): those with the same number of digits. */
  readonly low: number
  readonly high: number
  readonly bytes: Uint8Array
  /** Where the digits end; -1 when there are none. */
  readonly offsetEnd: number
}

export class FastAnswers {
  /** Never written twice: pieces of it may be on their way out. */
  #slab = Buffer.allocUnsafeSlow(slabBytes)
  #used = 0
  #date = new Date().toUTCString()

  /** Once a second. */
  setDate(wallMs: number): void {
    this.#date = new Date(wallMs).toUTCString()
  }

  pushProduced(output: OutputQueue, answer: PendingAnswer): void {
    const { topic, partition, baseOffset } = answer
    let template = topic.templates[partition]
    if (template === undefined || !this.#fits(template, answer)) {
      template = makeTemplate(answer, this.#date)
      topic.templates[partition] = template
    }
    const { bytes, offsetEnd } = template
    const start = this.#room(bytes.length)
    const slab = this.#slab
    slab.set(bytes, start)
    if (offsetEnd >= 0) patchDigits(slab, start + offsetEnd, baseOffset)
    output.pushRange(slab.buffer, start, start + bytes.length)
  }

  pushProblem(output: OutputQueue, status: number, problem: Problem): void {
    const retry = status === 503 ? 'Retry-After: 1\r\n' : ''
    const text = answerText(status, this.#date, retry, JSON.stringify(problem))
    const bytes = Buffer.byteLength(text)
    const start = this.#room(bytes)
    this.#slab.write(text, start)
    output.pushRange(this.#slab.buffer, start, start + bytes)
  }

  #fits(template: AnswerTemplate, { count, isDurable, baseOffset }: PendingAnswer): boolean {
    return (
      template.count === count &&
      template.isDurable === isDurable &&
      baseOffset >= template.low &&
      baseOffset < template.high &&
      template.date === this.#date
    )
  }

  #room(bytes: number): number {
    if (this.#used + bytes > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(Math.max(slabBytes, bytes))
      this.#used = 0
    }
    const start = this.#used
    this.#used += bytes
    return start
  }
}

function makeTemplate(answer: PendingAnswer, date: string): AnswerTemplate {
  const { topic, partition, count, isDurable, baseOffset } = answer
  const body = producedBody(topic.name, partition, baseOffset, count, isDurable)
  const text = answerText(200, date, '', body)
  const digits = String(baseOffset).length
  const marker = '"base_offset":"'
  return {
    count,
    isDurable,
    date,
    low: baseOffset <= 0 ? baseOffset : 10 ** (digits - 1),
    high: baseOffset < 0 ? 0 : 10 ** digits,
    bytes: new Uint8Array(Buffer.from(text, 'latin1')),
    offsetEnd: baseOffset < 0 ? -1 : text.indexOf(marker) + marker.length + digits,
  }
}

function answerText(status: number, date: string, headers: string, body: string): string {
  return (
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n` +
    'content-type: application/json; charset=utf-8\r\n' +
    `content-length: ${Buffer.byteLength(body)}\r\n` +
    `Date: ${date}\r\n${headers}\r\n${body}`
  )
}

function patchDigits(bytes: Uint8Array, end: number, value: number): void {
  let rest = value
  let pos = end
  do {
    const tenth = Math.floor(rest / 10)
    bytes[--pos] = 0x30 + (rest - tenth * 10)
    rest = tenth
  } while (rest > 0)
}
