/** The connection gate against a list of who is in, and the times at which its rate lets somebody in. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ConnectionGate, type GateLimits } from '../../src/net/connection-gate.ts'

const none = Number.POSITIVE_INFINITY
const limits = (rest: Partial<GateLimits>): GateLimits => ({
  connectionsMax: 1000,
  connectionsPerIpMax: none,
  connectionsPerSecondMax: none,
  ...rest,
})

test('in at once, or refused by the first limit that is reached; who leaves makes room', () => {
  const address = fc.constantFrom('a', 'b', 'c')
  const step = fc.record({ address, enters: fc.boolean() })
  const sizes = fc.integer({ min: 1, max: 6 })
  fc.assert(
    fc.property(sizes, sizes, fc.array(step), (connectionsMax, connectionsPerIpMax, steps) => {
      const gate = new ConnectionGate(limits({ connectionsMax, connectionsPerIpMax }))
      const inside: string[] = []
      for (const { address, enters } of steps) {
        if (enters) {
          const fromThere = inside.filter(one => one === address).length
          const admission = gate.enter(address, 0)
          if (inside.length >= connectionsMax) {
            expect(admission).toEqual({ refusal: expect.stringContaining('max.connections,') })
          } else if (fromThere >= connectionsPerIpMax) {
            expect(admission).toEqual({ refusal: expect.stringContaining('per.ip') })
          } else {
            expect(admission).toEqual({ waitMs: 0 })
            inside.push(address)
          }
        } else if (inside.includes(address)) {
          inside.splice(inside.indexOf(address), 1)
          gate.left(address)
        }
        expect(gate.openCount).toBe(inside.length)
      }
    }),
  )
})

test('a second of the rate may come at once, later ones wait in line, one after another', () => {
  const gate = new ConnectionGate(limits({ connectionsPerSecondMax: 4 }))
  const waits = (nowMs: number, count: number) =>
    Array.from({ length: count }, () => gate.enter('a', nowMs))
  const ms = (...times: number[]) => times.map(waitMs => ({ waitMs }))
  expect(waits(10_000, 7)).toEqual(ms(0, 0, 0, 0, 250, 500, 750))
  // Half a second later two of these have been let in.
  expect(waits(10_500, 1)).toEqual(ms(500))
  expect(waits(60_000, 5)).toEqual(ms(0, 0, 0, 0, 250))
})

test('over a long time no more come in than the rate, and none waits longer than it must', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 }), gaps => {
      const gate = new ConnectionGate(limits({ connectionsPerSecondMax: 10 }))
      const entered: number[] = []
      let nowMs = 5000
      for (const gap of gaps) {
        nowMs += gap
        const admission = gate.enter('a', nowMs)
        if ('refusal' in admission) throw new Error(admission.refusal)
        entered.push(nowMs + admission.waitMs)
      }
      for (const [index, at] of entered.entries()) {
        const within = entered.slice(index).filter(other => other < at + 1000).length
        // A burst at its start and the steady rate after it.
        expect(within).toBeLessThanOrEqual(20)
      }
      const last = entered.at(-1) ?? 0
      expect(last - nowMs).toBeLessThanOrEqual(Math.max(0, (gaps.length - 9) * 100))
    }),
  )
})
