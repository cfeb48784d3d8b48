/** Small POSTs of the usual clients, as they are sent without any care, take the hot path of a real broker. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { text as readAll } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { findCommand, requireCommand } from '../../support/requires.ts'
import { type SpawnedBroker, spawnBroker } from '../../support/spawn-broker.ts'
import { makeTempDirectory, type TempDirectory } from '../../support/temp-directory.ts'

const run = promisify(execFile)

let directory: TempDirectory
let broker: SpawnedBroker

beforeAll(async () => {
  directory = await makeTempDirectory()
  broker = await spawnBroker({ dataDirectory: join(directory.path, 'data') })
})
afterAll(async () => {
  await broker.stop()
  await directory.remove()
})

interface Counts {
  readonly fast: number
  readonly all: number
  readonly share: number
}

async function counts({ httpUrl } = broker): Promise<Counts> {
  // A connection of its own: a socket that was handed over once does not come back.
  const asked = get(`${httpUrl}/metrics`, { agent: false })
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  const text = await readAll(response)
  const sum = (name: string): number =>
    [...text.matchAll(new RegExp(`^odradek_${name}(?:\\{.*\\})? (.*)$`, 'gm'))].reduce(
      (total, [, value]) => total + Number(value),
      0,
    )
  return {
    fast: sum('http_fast_requests_total'),
    all: sum('http_requests_total'),
    share: sum('http_fast_path_share'),
  }
}

/** Three produce requests by `client`, all of which must be answered well, and by the hot path. */
async function expectFast(topic: string, client: (url: string) => Promise<string[]>) {
  const before = await counts()
  const answers = await client(`${broker.httpUrl}/topics/${topic}`)
  expect(answers.map(text => JSON.parse(text))).toEqual(
    ['0', '1', '2'].map(base_offset => {
      return { topic, partition: 0, base_offset, count: 1, durable: true }
    }),
  )
  const after = await counts()
  expect(after.fast - before.fast).toBe(3)
}

test('curl', async context => {
  const curl = requireCommand(context, 'curl')
  await expectFast('by-curl', async url => {
    const answers: string[] = []
    for (const value of ['a', 'b', 'c']) {
      const type = 'Content-Type: application/octet-stream'
      const { stdout } = await run(curl, ['-sS', '-H', type, '--data-binary', value, url])
      answers.push(stdout)
    }
    return answers
  })
})

test('fetch of node (undici)', async () => {
  await expectFast('by-fetch', async url => {
    const answers: string[] = []
    for (const body of ['a', 'b', 'c']) {
      const headers = { 'content-type': 'application/octet-stream' }
      const response = await fetch(url, { method: 'POST', headers, body })
      answers.push(await response.text())
    }
    return answers
  })
})

const python = `
import sys
url, headers = sys.argv[1], {'Content-Type': 'application/octet-stream'}
try:
    import requests
    session = requests.Session()
    post = lambda body: session.post(url, data=body, headers=headers).text
except ImportError:
    from http.client import HTTPConnection
    from urllib.parse import urlsplit
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc)
    def post(body):
        connection.request('POST', parts.path, body, headers)
        return connection.getresponse().read().decode()
for body in (b'a', b'b', b'c'):
    print(post(body))
`

test('requests of Python', async context => {
  const command = requireCommand(context, 'python3')
  await expectFast('by-python', async url => {
    const { stdout } = await run(command, ['-c', python, url])
    return stdout.trim().split('\n')
  })
})

const goProgram = `package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	for _, value := range []string{"a", "b", "c"} {
		answer, err := http.Post(os.Args[1], "application/octet-stream", bytes.NewBufferString(value))
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		fmt.Println(string(body))
	}
}
`

const go = findCommand('go') ?? findCommand('go', '/usr/local/go/bin')

test.skipIf(go === null)('net/http of Go', { timeout: 240_000 }, async () => {
  const file = join(directory.path, 'post.go')
  await writeFile(file, goProgram)
  await expectFast('by-go', async url => {
    const { stdout } = await run(go as string, ['run', file, url])
    return stdout.trim().split('\n')
  })
})

test('the share is told', async () => {
  const before = await counts()
  expect(before.share).toBeCloseTo(before.fast / before.all, 5)
  expect(before.share).toBeGreaterThan(0)
})

test('http.fast.path=false: the same answers, none of them fast', {
  timeout: 120_000,
}, async () => {
  const dataDirectory = join(directory.path, 'slow')
  const args = ['--set', 'http.fast.path=false']
  await using slow = await spawnBroker({ dataDirectory, args })
  const headers = { 'content-type': 'application/octet-stream' }
  const send = { method: 'POST', headers, body: 'a' }
  const response = await fetch(`${slow.httpUrl}/topics/t`, send)
  expect(await response.text()).toBe(
    '{"topic":"t","partition":0,"base_offset":"0","count":1,"durable":true}',
  )
  expect(await counts(slow)).toMatchObject({ fast: 0, share: 0 })
})
