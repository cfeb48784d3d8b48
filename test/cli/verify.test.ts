/** `odradek log verify` on directories that a broker left: whole, damaged, torn, in use. */
import { appendFileSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { startBroker } from '../../src/broker.ts'
import { Producer } from '../../src/client/producer.ts'
import {
  decodeFlushedEnds,
  encodeFlushedEnds,
  FLUSHED_ENDS_FILE,
} from '../../src/contracts/flushed-ends.ts'
import { encodeHead, headBytes } from '../../workers/journal/format.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runCli } from './run-cli.ts'

const records = 400

/** A data directory with one topic of two partitions in several segments, left by a clean stop. */
async function written(): Promise<string> {
  const directory = await tempDirectory()
  await using broker = await startBroker({
    dataDirectory: directory,
    http: false,
    set: { 'log.segment.bytes': 1536, 'num.partitions': 2 },
  })
  const producer = new Producer({ bootstrap: broker.bootstrap, acks: 'all' })
  for (let index = 0; index < records; index += 20) {
    const messages = Array.from({ length: 20 }, (_, at) => ({
      value: `record ${index + at}`,
      partition: at % 2,
    }))
    await producer.send('clicks', messages)
  }
  await producer.close()
  return directory
}

function segmentsOf(directory: string, log: string): string[] {
  const names = readdirSync(join(directory, log)).filter(name => name.endsWith('.log'))
  return names.sort().map(name => join(directory, log, name))
}

test('a directory that is well: what was looked at, exit 0', async () => {
  const directory = await written()
  const plain = await runCli(['log', 'verify', directory, '--records'])
  expect(plain.stderr).toBe('')
  expect(plain.code).toBe(0)
  expect(plain.stdout.toString()).toMatch(
    /^2 logs, \d+ segments, \d+ batches, 400 records, [\d,]+ bytes: no damage\n$/,
  )
  const json = await runCli(['log', 'verify', join(directory, 'clicks-0'), '--json'])
  expect(json.code).toBe(0)
  const report = JSON.parse(json.stdout.toString())
  expect(report).toMatchObject({ startOffset: 0, findings: [] })
  expect(report.endOffset).toBe(report.records)
})

test('a flipped bit in a sealed segment: file, bytes and offsets, exit 1', async () => {
  const directory = await written()
  const [first] = segmentsOf(directory, 'clicks-0')
  const bytes = readFileSync(first)
  bytes[100] ^= 4
  writeFileSync(first, bytes)
  const { code, stdout, stderr } = await runCli(['log', 'verify', directory])
  expect(code).toBe(1)
  expect(stdout.toString()).toMatch(
    /damage clicks-0: 0{20}\.log: bytes 0 to \d+ are bad: offsets 0 to \d+ are lost/,
  )
  expect(stderr).toMatch(/^odradek: .* is damaged in 1 places\n$/)
})

test('a segment, a partition or the topic metadata that is gone is damage', async () => {
  const directory = await written()
  const [, second] = segmentsOf(directory, 'clicks-0')
  rmSync(second)
  const { code, stdout } = await runCli(['log', 'verify', directory])
  expect(code).toBe(1)
  expect(stdout.toString()).toMatch(/damage clicks-0: \d{20}\.log: offsets \d+ to \d+ are missing/)
  rmSync(join(directory, 'clicks-1'), { recursive: true })
  for (const name of ['topics-a', 'topics-b']) writeFileSync(join(directory, name), 'rubbish')
  const again = await runCli(['log', 'verify', directory, '--json'])
  expect(again.code).toBe(1)
  const [first] = again.stdout.toString().split('\n')
  expect(JSON.parse(first)).toMatchObject({ kind: 'damage' })
})

test('what a crash leaves at the end and bad caches are notes, exit 0', async () => {
  const directory = await written()
  rmSync(join(directory, '.kafka_cleanshutdown'))
  const last = segmentsOf(directory, 'clicks-1').at(-1) as string
  appendFileSync(last, Buffer.alloc(50, 7))
  const [first] = segmentsOf(directory, 'clicks-1')
  writeFileSync(first.replace(/log$/, 'index'), Buffer.alloc(16, 3))
  const { code, stdout } = await runCli(['log', 'verify', directory])
  const text = stdout.toString()
  expect(text).toMatch(/note clicks-1: \d{20}\.log: 50 bytes from position \d+ on are not proven/)
  expect(text).toMatch(/note clicks-1: \d{20}\.log: 0{20}\.index: entry 0 fits no batch/)
  expect(text).toMatch(/no damage/)
  expect(code).toBe(0)
})

test('ends of logs are not judged while a journal holds rounds that the next start puts into them', async () => {
  const directory = await written()
  rmSync(join(directory, '.kafka_cleanshutdown'))
  const path = join(directory, FLUSHED_ENDS_FILE)
  const ends = [...decodeFlushedEnds(readFileSync(path, 'latin1')).values()]
  const later = ends.map(end => ({ ...end, flushedEnd: end.flushedEnd + 50 }))
  writeFileSync(path, encodeFlushedEnds(later))
  const damaged = await runCli(['log', 'verify', directory])
  expect(damaged.stdout.toString()).toMatch(/damage clicks-0: .*flushed up to offset/)
  const journal = join(directory, 'journal-0-a')
  const head = Buffer.alloc(1_000)
  const whole = { epoch: 1, generation: 0, round: 0 }
  // One that was emptied holds nothing.
  encodeHead(head, { ...whole, bytes: headBytes(0) }, [], [])
  writeFileSync(journal, head)
  expect((await runCli(['log', 'verify', directory])).code).toBe(1)
  const where = { segmentBase: 0, position: 0, baseOffset: 0, endOffset: 1 }
  const record = { topicId: 'abcdefghijklmnopqrstuw', partition: 0, ...where, bytes: 0 }
  encodeHead(head, { ...whole, bytes: headBytes(1) }, [record], [])
  writeFileSync(journal, head)
  const { code, stdout } = await runCli(['log', 'verify', directory])
  expect(stdout.toString()).toMatch(/note .*journal-0-a holds rounds/)
  expect(code).toBe(0)
})

test('a directory in use, one that is none, and one that is not there', async () => {
  const directory = await tempDirectory()
  {
    await using _ = await startBroker({ dataDirectory: directory, http: false })
    const { code, stderr } = await runCli(['log', 'verify', directory])
    expect(code).toBe(1)
    expect(stderr).toMatch(/is in use by pid \d+: stop that broker/)
  }
  const empty = await runCli(['log', 'verify', await tempDirectory()])
  expect(empty.code).toBe(2)
  expect(empty.stderr).toMatch(/is neither a data directory nor/)
  const missing = await runCli(['log', 'verify', join(directory, 'nothing')])
  expect(missing.code).toBe(2)
  expect(missing.stderr).toMatch(/there is no such directory/)
})
