/**
 * Both sides of the rings as real threads run them: a dispatcher that asks and an owner that answers, each
 * asleep on its doorbell whenever there is nothing to do. Every field of every slot is computed from its
 * number, and checked.
 */
import assert from 'node:assert'
import {
  type Command,
  emptyCommand,
  emptyReply,
  Op,
  ReplyKind,
  readCommand,
  readReply,
  writeCommand,
  writeReply,
} from '../../src/ring/commands.ts'
import { Doorbell } from '../../src/ring/doorbell.ts'
import { HEAD_WORD, Ring, TAIL_WORD } from '../../src/ring/ring.ts'

/** The shared memory between one dispatcher and one owner; `sleeper` is the dispatcher's number among the
 *  doorbells. */
export interface Pair {
  readonly commands: SharedArrayBuffer
  readonly replies: SharedArrayBuffer
  readonly capacity: number
  readonly bells: SharedArrayBuffer
  readonly sleeper: number
}

/** The owner sleeps on doorbell 0; dispatchers on 1, 2, ... */
export const OWNER = 0

export function newPair(capacity: number, bells: SharedArrayBuffer, sleeper: number): Pair {
  const commands = ringAt(capacity, 0x7fffffff - 1_000)
  const replies = ringAt(capacity, -1_000)
  return { commands, replies, capacity, bells, sleeper }
}

/** A ring whose positions wrap after a thousand slots. */
function ringAt(capacity: number, position: number): SharedArrayBuffer {
  const sab = new SharedArrayBuffer(Ring.bytesFor(capacity))
  const words = new Int32Array(sab)
  words[TAIL_WORD] = position
  words[HEAD_WORD] = position
  return sab
}

/** Some 32 bits that depend on `n` and `salt`. */
function mix(n: number, salt: number): number {
  return Math.imul(n ^ (n >>> 15) ^ Math.imul(salt, 0x9e3779b1), 0x85ebca6b)
}

function wide(n: number, salt: number): number {
  return (mix(n, salt) & 0x1fffff) * 2 ** 32 + (mix(n, salt + 1) >>> 0)
}

export function fillCommand(command: Command, n: number): void {
  command.op = Op.append
  command.partitionSlot = mix(n, 1)
  command.partitionGeneration = mix(n, 2)
  command.requestRef = n
  command.requestGeneration = mix(n, 3)
  command.arenaOffset = mix(n, 4)
  command.length = mix(n, 5)
  command.regionGeneration = mix(n, 6)
  command.apiVersion = mix(n, 7)
  command.flags = mix(n, 8)
  command.offset = wide(n, 9)
  command.maxBytes = mix(n, 11)
}

const expectedCommand = emptyCommand()

/** Command number `n`, whole. */
export function checkCommand(command: Command, n: number): void {
  fillCommand(expectedCommand, n)
  assert.deepStrictEqual(command, expectedCommand)
}

/** An event loop: turns while there is something to do, else sleeps on the doorbell; the look after the
 *  announcement of sleep is a turn as well. */
export async function serve(bell: Doorbell, turn: () => boolean, done: () => boolean) {
  while (!done()) {
    if (turn()) continue
    bell.prepareSleep()
    if (turn()) bell.cancelSleep()
    else if (!done()) await bell.wait()
  }
}

/** Dispatcher: `count` commands, never more under way than reply slots; every reply in order. */
export async function ask(pair: Pair, count: number): Promise<void> {
  const commands = new Ring(pair.commands, pair.capacity)
  const replies = new Ring(pair.replies, pair.capacity)
  const ownerBell = new Doorbell(pair.bells, OWNER)
  const command = emptyCommand()
  const reply = emptyReply()
  let asked = 0
  let answered = 0
  const turn = () => {
    const before = asked + answered
    while (asked < count && asked - answered < pair.capacity) {
      const slot = commands.claim()
      if (slot < 0) break
      fillCommand(command, asked++)
      writeCommand(commands.words, slot, command)
      if (mix(asked, 20) % 3 === 0) commands.publish()
    }
    commands.publish()
    ownerBell.ring()
    for (let slot = replies.peek(); slot >= 0; slot = replies.peek()) {
      readReply(replies.words, slot, reply)
      assert.strictEqual(reply.requestRef, answered)
      assert.strictEqual(reply.baseOffset, wide(answered, 12))
      assert.strictEqual(reply.endOffset, -wide(answered, 14))
      assert.strictEqual(reply.regionGeneration, mix(answered, 6))
      answered++
      replies.next()
    }
    replies.release()
    return asked + answered > before
  }
  await serve(new Doorbell(pair.bells, pair.sleeper), turn, () => answered === count)
}

/** Owner: answers `count` commands of each pair, with a full reply ring as an assertion. */
export async function answer(pairs: readonly Pair[], count: number): Promise<void> {
  const sides = pairs.map(pair => ({
    commands: new Ring(pair.commands, pair.capacity),
    replies: new Ring(pair.replies, pair.capacity),
    bell: new Doorbell(pair.bells, pair.sleeper),
    answered: 0,
  }))
  const command = emptyCommand()
  const reply = emptyReply()
  reply.kind = ReplyKind.appended
  const answerAll = (side: (typeof sides)[number]) => {
    const before = side.answered
    for (let at = side.commands.peek(); at >= 0; at = side.commands.peek()) {
      readCommand(side.commands.words, at, command)
      checkCommand(command, side.answered)
      const slot = side.replies.claim()
      assert(slot >= 0, 'an owner never waits for reply slots')
      reply.requestRef = command.requestRef
      reply.regionGeneration = command.regionGeneration
      reply.baseOffset = wide(side.answered, 12)
      reply.endOffset = -wide(side.answered, 14)
      writeReply(side.replies.words, slot, reply)
      side.answered++
      side.commands.next()
      // The slot goes back before the reply shows, so a dispatcher that got all replies has all its slots.
      side.commands.release()
      if (mix(side.answered, 21) % 3 === 0) side.replies.publish()
    }
    side.replies.publish()
    if (side.answered === before) return false
    side.bell.ring()
    return true
  }
  const turn = () => {
    let worked = false
    for (const side of sides) worked = answerAll(side) || worked
    return worked
  }
  const done = () => sides.every(side => side.answered === count)
  await serve(new Doorbell(pairs[0].bells, OWNER), turn, done)
}
