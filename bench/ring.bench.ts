/**
 * What the shared memory costs: a slot through the ring, a wake-up there and back, a row of the offset
 * table, a region of the arena; beside them the same commands as messages of a MessagePort. One process, this file as
 * its own second thread. Absolute times drift with the machine; the ratios are what counts.
 *
 *   node bench/ring.bench.ts [seconds per line, 1]
 */
import { once } from 'node:events'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { emptyOffsetView, OffsetTable } from '../src/partitions/offset-table.ts'
import { Arena, type Region } from '../src/ring/arena.ts'
import {
  emptyCommand,
  emptyReply,
  readCommand,
  readReply,
  writeCommand,
  writeReply,
} from '../src/ring/commands.ts'
import { Doorbell } from '../src/ring/doorbell.ts'
import { Ring } from '../src/ring/ring.ts'

const CAPACITY = 1024
/** In a command's op: the second thread ends. */
const STOP = -1
/** workerData of a second thread that answers messages. */
const MESSAGES = 'messages'

interface Shared {
  readonly commands: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
  readonly bells: SharedArrayBuffer
}

/** The second thread: answers every command; spins or sleeps as the command's flags say. */
async function echo(shared: Shared): Promise<void> {
  const commands = new Ring(shared.commands, CAPACITY)
  const replies = new Ring(shared.replies, CAPACITY)
  const mine = new Doorbell(shared.bells, 0)
  const theirs = new Doorbell(shared.bells, 1)
  const command = emptyCommand()
  const reply = emptyReply()
  const keepAlive = setInterval(() => {}, 1 << 30)
  for (let spins = false; command.op !== STOP; ) {
    const answered = answerAll(commands, replies, command, reply)
    if (answered) {
      theirs.ring()
      spins = command.flags === 1
    } else if (!spins) {
      mine.prepareSleep()
      if (commands.peek() >= 0) mine.cancelSleep()
      else await mine.wait()
    }
  }
  clearInterval(keepAlive)
}

function answerAll(
  commands: Ring,
  replies: Ring,
  command: ReturnType<typeof emptyCommand>,
  reply: ReturnType<typeof emptyReply>,
): boolean {
  let slot = commands.peek()
  if (slot < 0) return false
  for (; slot >= 0; slot = commands.peek()) {
    readCommand(commands.words, slot, command)
    commands.next()
    reply.requestRef = command.requestRef
    writeReply(replies.words, replies.claim(), reply)
  }
  commands.release()
  replies.publish()
  return true
}

/** One measured line: repeats `work`, which does `each` operations, for about the time asked. */
async function line(name: string, each: number, work: () => Promise<void> | void): Promise<void> {
  for (let warm = 0; warm < 3; warm++) await work()
  const startedMs = performance.now()
  let rounds = 0
  do {
    await work()
    rounds++
  } while (performance.now() - startedMs < secondsPerLine * 1000)
  const nsPerOp = ((performance.now() - startedMs) * 1e6) / (rounds * each)
  const perSecond = Math.round(1e9 / nsPerOp).toLocaleString('en')
  console.log(
    `${name.padEnd(58)} ${nsPerOp.toFixed(1).padStart(10)} ns ${perSecond.padStart(14)} /s`,
  )
}

/** One thread, no contention: what the instructions alone cost. */
async function aloneLines(): Promise<void> {
  const ring = new Ring(new SharedArrayBuffer(Ring.bytesFor(CAPACITY)), CAPACITY)
  const command = emptyCommand()
  for (const batch of [1, 50]) {
    await line(`ring: command written, published by ${batch}, read, released`, 100 * batch, () => {
      for (let round = 0; round < 100; round++) {
        for (let n = 0; n < batch; n++) writeCommand(ring.words, ring.claim(), command)
        ring.publish()
        for (let slot = ring.peek(); slot >= 0; slot = ring.peek()) {
          readCommand(ring.words, slot, command)
          ring.next()
        }
        ring.release()
      }
    })
  }
  const table = new OffsetTable(new SharedArrayBuffer(OffsetTable.bytesFor(16, 1)), 16, 1)
  const view = emptyOffsetView()
  let offset = 2 ** 33
  await line('offset table: publish', 1000, () => {
    for (let n = 0; n < 1000; n++) table.publish(n & 15, 1, 1, 0, offset, ++offset)
  })
  await line('offset table: read', 1000, () => {
    for (let n = 0; n < 1000; n++) table.read(n & 15, 1, view)
  })
  const arena = new Arena(64 << 20)
  const live: Region[] = []
  await line('arena: alloc + free of 10 KiB, 500 live', 500, () => {
    for (let n = 0; n < 500; n++) live.push(arena.alloc(10_240) as Region)
    for (const region of live.splice(0)) arena.free(region)
  })
  // Every second page of the lower half taken: each search has to pass 4,000 gaps that are too small.
  const gaps: Region[] = []
  for (let n = 0; n < 4000; n++) {
    const gap = arena.alloc(8192) as Region
    arena.alloc(8192)
    gaps.push(gap)
  }
  for (const gap of gaps) arena.free(gap)
  await line('arena: alloc + free of 10 KiB behind 4,000 gaps of 8 KiB', 500, () => {
    for (let n = 0; n < 500; n++) arena.free(arena.alloc(10_240) as Region)
  })
}

/** Two threads. `flags` 1: the other side spins; 0: it sleeps whenever there is nothing to do. */
async function pairLines(shared: Shared): Promise<void> {
  const commands = new Ring(shared.commands, CAPACITY)
  const replies = new Ring(shared.replies, CAPACITY)
  const theirs = new Doorbell(shared.bells, 0)
  const mine = new Doorbell(shared.bells, 1)
  const command = emptyCommand()
  const reply = emptyReply()
  const takeReplies = (): number => {
    let count = 0
    for (let slot = replies.peek(); slot >= 0; slot = replies.peek(), count++) {
      readReply(replies.words, slot, reply)
      replies.next()
    }
    replies.release()
    return count
  }
  const send = (count: number, flags: number): void => {
    command.flags = flags
    for (let n = 0; n < count; n++) writeCommand(commands.words, commands.claim(), command)
    commands.publish()
    theirs.ring()
  }
  const asleepUntil = async (count: number): Promise<void> => {
    for (let got = takeReplies(); got < count; got += takeReplies()) {
      mine.prepareSleep()
      if (replies.peek() >= 0) mine.cancelSleep()
      else await mine.wait()
    }
  }
  for (const batch of [1, 50, 500]) {
    await line(
      `two threads, both sleep: ${batch} commands there and back`,
      20 * batch,
      async () => {
        for (let round = 0; round < 20; round++) {
          send(batch, 0)
          await asleepUntil(batch)
        }
      },
    )
  }
  for (const batch of [1, 50, 500]) {
    await line(`two threads, both spin: ${batch} commands there and back`, 200 * batch, () => {
      for (let round = 0; round < 200; round++) {
        send(batch, 1)
        for (let got = 0; got < batch; ) got += takeReplies()
      }
    })
  }
  command.op = STOP
  send(1, 0)
}

/** What the rings save: every command is a message, cloned there and back. */
async function messageLines(): Promise<void> {
  const other = new Worker(new URL(import.meta.url), { workerData: MESSAGES })
  const exited = once(other, 'exit')
  let left = 0
  let answered = (): void => {}
  other.on('message', () => {
    if (--left === 0) answered()
  })
  for (const batch of [1, 50, 500]) {
    await line(`two threads, messages: ${batch} commands there and back`, 20 * batch, async () => {
      for (let round = 0; round < 20; round++) {
        const { promise, resolve } = Promise.withResolvers<void>()
        left = batch
        answered = resolve
        for (let n = 0; n < batch; n++) other.postMessage(emptyCommand())
        await promise
      }
    })
  }
  other.postMessage({ ...emptyCommand(), op: STOP })
  await exited
}

function echoMessages(): void {
  parentPort?.on('message', (command: ReturnType<typeof emptyCommand>) => {
    if (command.op === STOP) parentPort?.close()
    else parentPort?.postMessage({ ...emptyReply(), requestRef: command.requestRef })
  })
}

async function main(): Promise<void> {
  const shared: Shared = {
    commands: new SharedArrayBuffer(Ring.bytesFor(CAPACITY)),
    replies: new SharedArrayBuffer(Ring.bytesFor(CAPACITY)),
    bells: new SharedArrayBuffer(Doorbell.bytesFor(2)),
  }
  await aloneLines()
  const other = new Worker(new URL(import.meta.url), { workerData: shared })
  const exited = once(other, 'exit')
  await pairLines(shared)
  await exited
  await messageLines()
}

const secondsPerLine = Number(process.argv[2] ?? 1)
if (workerData === null) await main()
else if (workerData === MESSAGES) echoMessages()
else await echo(workerData as Shared)
