import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Block, BlockPool, stagingBytes } from '../../src/net/block-pool.ts'
import { FrameDecoder, FrameSizeError } from '../../src/net/frame-decoder.ts'
import { Arena } from '../../src/ring/arena.ts'

const MIB = 1024 * 1024

function encode(payloads: readonly Buffer[]): Buffer {
  return Buffer.concat(
    payloads.flatMap(payload => {
      const size = Buffer.alloc(4)
      size.writeInt32BE(payload.length)
      return [size, payload]
    }),
  )
}

function payloadOf(sizeBytes: number, seed: number): Buffer {
  const payload = Buffer.alloc(sizeBytes)
  for (let i = 0; i < sizeBytes; i++) payload[i] = (seed * 31 + i * 7) & 0xff
  return payload
}

/** Feeds bytes the way a socket does: as much as the target takes, at most `chunkBytes` at a time. */
class Feeder {
  readonly arena: Arena
  readonly pool: BlockPool
  readonly decoder: FrameDecoder
  readonly frames: Buffer[] = []
  /** Blocks of frames that "owners" still work on, oldest first. */
  readonly held: Block[] = []
  readonly holdMax: number

  constructor(arenaBytes = 16 * MIB, frameBytesMax = 4 * MIB, holdMax = 0) {
    this.arena = new Arena(arenaBytes)
    this.pool = new BlockPool(this.arena)
    this.decoder = new FrameDecoder(this.pool, frameBytesMax)
    this.holdMax = holdMax
  }

  feed(bytes: Buffer, chunks: readonly number[], path: 'direct' | 'copy'): void {
    let turn = 0
    for (let pos = 0; pos < bytes.length; ) {
      const wanted = chunks[turn++ % chunks.length] as number
      const chunk = bytes.subarray(pos, pos + wanted)
      if (path === 'copy') {
        pos += this.decoder.push(chunk)
      } else {
        const target = this.decoder.target()
        const n = Math.min(target.length, chunk.length)
        chunk.copy(target, 0, 0, n)
        this.decoder.received(n)
        pos += n
      }
      this.#take()
    }
  }

  #take(): void {
    for (let frame = this.decoder.next(); frame !== null; frame = this.decoder.next()) {
      this.frames.push(Buffer.from(frame.bytes.subarray(frame.start, frame.end)))
      if (frame.block !== null && this.holdMax > 0) {
        frame.block.pin()
        this.held.push(frame.block)
        if (this.held.length > this.holdMax) this.held.shift()?.unpin()
      }
      this.decoder.consume()
    }
    expect(this.decoder.settle()).toBe(true)
  }
}

const sizes = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 0, max: 400 }) },
  { weight: 3, arbitrary: fc.integer({ min: 400, max: 70_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: 70_000, max: 2 * MIB }) },
)
const chunkSizes = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 10, max: 5000 }),
    fc.integer({ min: 5000, max: 600_000 }),
  ),
  { minLength: 1, maxLength: 6 },
)

describe('frames come out as they went in', () => {
  for (const path of ['direct', 'copy'] as const) {
    test(`whatever the chunking (${path} path), and give all arena space back`, () => {
      fc.assert(
        fc.property(
          fc.array(sizes, { minLength: 1, maxLength: 30 }),
          chunkSizes,
          fc.integer({ min: 0, max: 5 }),
          (frameSizes, chunks, holdMax) => {
            const payloads = frameSizes.map(payloadOf)
            const total = frameSizes.reduce((sum, size) => sum + size, 0)
            // One byte at a time is for small inputs.
            const coarse = total > 100_000 ? chunks.map(size => Math.max(size, 4000)) : chunks
            const feeder = new Feeder(64 * MIB, 4 * MIB, holdMax)
            feeder.feed(encode(payloads), coarse, path)
            expect(feeder.frames.length).toBe(payloads.length)
            feeder.frames.forEach((frame, i) => {
              if (!frame.equals(payloads[i] as Buffer)) expect.fail(`frame ${i} differs`)
            })
            for (const block of feeder.held) block.unpin()
            feeder.decoder.close()
            expect(feeder.arena.usedBytes).toBe(0)
          },
        ),
        { numRuns: 120 },
      )
    })
  }

  test('a pinned block is never written again', () => {
    const feeder = new Feeder()
    const first = payloadOf(300_000, 1)
    feeder.feed(encode([first]), [stagingBytes], 'direct')
    feeder.feed(encode([first]), [stagingBytes], 'direct')
    const target = feeder.decoder.target()
    target.fill(0)
    expect(feeder.frames.every(frame => frame.equals(first))).toBe(true)
  })
})

describe('hostile sizes', () => {
  test.each([-1, -2_147_483_648, 4 * MIB + 1, 2_147_483_647])('size %i is refused', size => {
    const feeder = new Feeder()
    const head = Buffer.alloc(4)
    head.writeInt32BE(size)
    expect(() => feeder.feed(head, [4], 'direct')).toThrow(FrameSizeError)
  })

  test('an announced size alone costs no arena space', () => {
    const feeder = new Feeder()
    const head = Buffer.alloc(100)
    head.writeInt32BE(3 * MIB)
    feeder.feed(head, [100], 'direct')
    expect(feeder.arena.usedBytes).toBe(0)
  })

  test('space follows the bytes that arrived, not the announced size', () => {
    const feeder = new Feeder(64 * MIB, 32 * MIB)
    const head = Buffer.alloc(200_000)
    head.writeInt32BE(32 * MIB - 100)
    feeder.feed(head, [stagingBytes], 'direct')
    expect(feeder.arena.usedBytes).toBeGreaterThan(0)
    expect(feeder.arena.usedBytes).toBeLessThan(2 * MIB)
  })

  test('a frame of the largest size fits when its bytes really come', () => {
    const feeder = new Feeder(64 * MIB, 32 * MIB)
    const payload = payloadOf(32 * MIB, 3)
    feeder.feed(encode([payload]), [500_000], 'direct')
    expect(feeder.frames[0]?.equals(payload)).toBe(true)
  })
})

test('with a full arena the frame in the making is kept and goes on when space is freed', () => {
  const feeder = new Feeder(2 * MIB, 2 * MIB)
  const taken = feeder.pool.allocate(2 * MIB) as Block
  const payload = payloadOf(100_000, 9)
  const bytes = encode([payload])
  const target = feeder.decoder.target()
  bytes.copy(target, 0, 0, target.length)
  feeder.decoder.received(target.length)
  expect(feeder.decoder.next()).toBeNull()
  expect(feeder.decoder.settle()).toBe(false)
  expect(feeder.decoder.starved).toBe(true)
  taken.detach()
  expect(feeder.decoder.settle()).toBe(true)
  feeder.feed(bytes.subarray(target.length), [50_000], 'direct')
  expect(feeder.frames[0]?.equals(payload)).toBe(true)
})
