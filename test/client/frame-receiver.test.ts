import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameReceiver } from '../../src/client/frame-receiver.ts'

/** Feeds bytes as a socket would: never more than the space offered. */
function feed(receiver: FrameReceiver, stream: Buffer, chunkBytes: () => number): Buffer[] {
  const frames: Buffer[] = []
  for (let at = 0; at < stream.length; ) {
    const space = receiver.space()
    const count = Math.min(Math.max(1, chunkBytes()), space.length, stream.length - at)
    stream.copy(space, 0, at, at + count)
    receiver.received(count, frame => frames.push(frame))
    at += count
  }
  return frames
}

function framed(payloads: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    payloads.flatMap(payload => {
      const size = Buffer.alloc(4)
      size.writeInt32BE(payload.length)
      return [size, payload]
    }),
  )
}

describe('FrameReceiver', () => {
  test('gives every frame whole, however the bytes arrive, and never overwrites one', () => {
    const payload = fc
      .tuple(fc.oneof(fc.nat(40), fc.nat(600_000)), fc.nat(255))
      .map(([length, byte]) => Buffer.alloc(length, byte))
    const chunks = fc.array(fc.oneof(fc.nat(9), fc.nat(100_000)), { minLength: 1, maxLength: 9 })
    fc.assert(
      fc.property(fc.array(payload, { maxLength: 12 }), chunks, (payloads, sizes) => {
        let next = 0
        const receiver = new FrameReceiver(1 << 20)
        // Tiny chunks of a large stream only repeat themselves: a floor keeps a run short.
        const stream = framed(payloads)
        const floor = Math.floor(stream.length / 500)
        const frames = feed(receiver, stream, () => floor + sizes[next++ % sizes.length])
        expect(frames.length).toBe(payloads.length)
        expect(frames.every((frame, index) => frame.equals(payloads[index]))).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  test('a frame of many megabytes comes whole', () => {
    const payload = Buffer.alloc(21_000_000, 'abc')
    const [frame] = feed(new FrameReceiver(1 << 25), framed([payload]), () => 1 << 16)
    expect(frame.equals(payload)).toBe(true)
  })

  test('an announced size alone buys little memory', () => {
    const receiver = new FrameReceiver(0x7fff_ffff)
    receiver.space().writeInt32BE(0x7fff_fff0)
    receiver.received(4, () => undefined)
    expect(receiver.space().length).toBeLessThan(9 * 1024 * 1024)
  })

  test.each([-1, -0x8000_0000, 1025, 0x4854_5450])('refuses an announced size of %i', size => {
    const receiver = new FrameReceiver(1024)
    receiver.space().writeInt32BE(size)
    expect(() => receiver.received(4, () => undefined)).toThrow(/announces/)
  })
})
