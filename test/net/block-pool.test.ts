import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Block, BlockPool } from '../../src/net/block-pool.ts'
import { FrameDecoder } from '../../src/net/frame-decoder.ts'
import { Arena } from '../../src/ring/arena.ts'

const KIB = 1024
const MIB = 1024 * KIB

function makePool(bytes: number) {
  const arena = new Arena(bytes)
  return { arena, pool: new BlockPool(arena) }
}

/** Takes blocks of one size until there are no more. */
function takeAll(pool: BlockPool, size: number): Block[] {
  const taken: Block[] = []
  for (let block = pool.allocate(size); block !== null; block = pool.allocate(size)) {
    taken.push(block)
  }
  return taken
}

describe('budgets', () => {
  test('large and bulk blocks leave each other, and the shared block, their part', () => {
    const { arena, pool } = makePool(16 * MIB)
    const large = takeAll(pool, 2 * MIB)
    expect(large.length).toBe(4)
    const bulk = takeAll(pool, 256 * KIB)
    expect(bulk.length).toBe(30)
    expect(pool.store(Buffer.alloc(1000))).not.toBe(null)
    for (const block of [...large, ...bulk]) block.detach()
    pool.releaseIdle()
    pool.releaseIdle()
    expect(arena.usedBytes).toBe(0)
  })

  test('one large block always has room, whatever bulk connections hold', () => {
    const { pool } = makePool(16 * MIB)
    takeAll(pool, 256 * KIB)
    expect(pool.allocate(8 * MIB)).not.toBe(null)
  })

  test('a block that makes room for a larger one does not stand in its way', () => {
    const { pool } = makePool(16 * MIB)
    const first = pool.allocate(3 * MIB)
    expect(pool.allocate(6 * MIB)).toBe(null)
    expect(pool.allocate(6 * MIB, first)).not.toBe(null)
  })
})

describe('who waits', () => {
  test('is served before those who come later, and larger wishes are not passed by', async () => {
    const { pool } = makePool(16 * MIB)
    const held = takeAll(pool, 2 * MIB)
    const served: string[] = []
    const want = (name: string, size: number): void => {
      const block = pool.allocate(size)
      if (block === null) pool.wait(() => want(name, size))
      else served.push(name)
    }
    want('first, 6 MiB', 6 * MIB)
    want('second, 2 MiB', 2 * MIB)
    for (const block of held) {
      block.detach()
      await nextTurn()
      // A newcomer at the moment when space is free.
      if (served.length === 0) expect(pool.allocate(2 * MIB)).toBe(null)
    }
    expect(served).toEqual(['first, 6 MiB', 'second, 2 MiB'])
  })

  test('and goes leaves nothing closed behind', async () => {
    const { pool } = makePool(16 * MIB)
    const held = takeAll(pool, 2 * MIB)
    const retry = (): void => {}
    expect(pool.allocate(8 * MIB)).toBe(null)
    pool.wait(retry)
    pool.cancelWait(retry)
    for (const block of held) block.detach()
    await nextTurn()
    expect(pool.allocate(2 * MIB)).not.toBe(null)
  })
})

/** A connection without a socket: feeds its stream when it is not muted. */
class Peer {
  readonly decoder: FrameDecoder
  readonly frames: Buffer[] = []
  readonly #pool: BlockPool
  readonly #stream: Buffer
  #at = 0
  #isMuted = false

  constructor(pool: BlockPool, stream: Buffer) {
    this.#pool = pool
    this.#stream = stream
    this.decoder = new FrameDecoder(pool, 2 * MIB)
  }

  get isDone(): boolean {
    return this.#at === this.#stream.length && !this.#isMuted
  }

  feed(bytes: number, pinned: Block[]): void {
    if (this.#isMuted) return
    const target = this.decoder.target()
    const n = Math.min(target.length, bytes, this.#stream.length - this.#at)
    if (n === 0) return
    this.#stream.copy(target, 0, this.#at, this.#at + n)
    this.#at += n
    this.decoder.received(n)
    this.#parse(pinned)
  }

  #parse(pinned: Block[]): void {
    for (let frame = this.decoder.next(); frame !== null; frame = this.decoder.next()) {
      this.frames.push(Buffer.from(frame.bytes.subarray(frame.start, frame.end)))
      if (frame.block !== null) {
        frame.block.pin()
        pinned.push(frame.block)
      }
      this.decoder.consume()
    }
    if (this.decoder.settle()) return
    this.#isMuted = true
    this.#pool.wait(() => {
      this.#isMuted = false
      this.#parse(pinned)
    })
  }
}

const frameSizes = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 5000 }),
    fc.integer({ min: 60_000, max: 400_000 }),
    fc.integer({ min: 400_000, max: 2 * MIB }),
  ),
  { minLength: 1, maxLength: 4 },
)

test('any mix of peers and frames gets through an arena of 4 MiB, and all of it is given back', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(frameSizes, { minLength: 2, maxLength: 16 }),
      fc.integer({ min: 10_000, max: 300_000 }),
      async (plans, step) => {
        const { arena, pool } = makePool(4 * MIB)
        const streams = plans.map((sizes, peer) =>
          sizes.map((size, i) => Buffer.alloc(size, peer * 16 + i + 1)),
        )
        const peers = streams.map(frames => {
          const parts = frames.flatMap(frame => {
            const size = Buffer.alloc(4)
            size.writeInt32BE(frame.length)
            return [size, frame]
          })
          return new Peer(pool, Buffer.concat(parts))
        })
        const pinned: Block[] = []
        for (let turn = 0; !peers.every(({ isDone }) => isDone); turn++) {
          if (turn > 5000) expect.fail('they wait for each other')
          for (const peer of peers) peer.feed(step, pinned)
          for (const block of pinned.splice(0)) block.unpin()
          // What the listener does once a second.
          for (const { decoder } of peers) if (pool.waiterCount > 0) decoder.demote(true)
          pool.releaseIdle()
          await nextTurn()
        }
        for (const [i, { frames }] of peers.entries()) {
          expect(frames.length).toBe(streams[i]?.length)
          for (const [k, frame] of frames.entries()) {
            if (!frame.equals(streams[i]?.[k] ?? frame.subarray(1))) expect.fail('bytes differ')
          }
        }
        for (const { decoder } of peers) decoder.close()
        pool.releaseIdle()
        pool.releaseIdle()
        expect(arena.usedBytes).toBe(0)
      },
    ),
    { numRuns: 40 },
  )
})
