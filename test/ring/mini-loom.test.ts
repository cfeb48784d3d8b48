/** The model checker itself: it meets every outcome that sequential consistency allows, no other, and finds
 *  known bugs. */
import assert from 'node:assert'
import { expect, test } from 'vitest'
import { explore, type Model, type Script } from './mini-loom.ts'
import { ModelError, ModelMemory, type ModelWords, modelInt32Array } from './model-memory.ts'

function words(): ModelWords {
  return modelInt32Array(new ModelMemory(16))
}

test('store buffering: all three outcomes, never both loads before both stores', () => {
  const outcomes = new Set<string>()
  const model = (): Model => {
    const shared = words()
    const seen = [-1, -1]
    function* half(mine: number): Script {
      yield { op: 'store', args: [shared, mine, 1] }
      seen[mine] = (yield { op: 'load', args: [shared, 1 - mine] }) as number
    }
    return { threads: [half(0), half(1)], check: () => void outcomes.add(seen.join()) }
  }
  explore(model)
  expect([...outcomes].sort()).toEqual(['0,1', '1,0', '1,1'])
})

test('three threads of two steps: every one of the 90 orders', () => {
  const orders = new Set<string>()
  const model = (): Model => {
    const shared = words()
    const order: number[] = []
    // Each step stores something that depends on all earlier ones, so no two orders look alike.
    function* twice(me: number): Script {
      for (let time = 0; time < 2; time++) {
        yield { op: 'exchange', args: [shared, 0, order.length * 10 + me] }
        order.push(me)
      }
    }
    return { threads: [twice(0), twice(1), twice(2)], check: () => void orders.add(order.join('')) }
  }
  explore(model)
  expect(orders.size).toBe(90)
})

test('a counter incremented by load and store loses an increment', () => {
  const model = (): Model => {
    const shared = words()
    function* increment(): Script {
      const value = (yield { op: 'load', args: [shared, 0] }) as number
      yield { op: 'store', args: [shared, 0, value + 1] }
    }
    return {
      threads: [increment(), increment()],
      check: () => assert.strictEqual(shared.cells[0].value, 2, 'an increment is lost'),
    }
  }
  expect(() => explore(model)).toThrow(/an increment is lost[\s\S]*\n {2}thread 1: store/)
})

function messagePassing(raise: (shared: ModelWords) => Script): () => Model {
  return () => {
    const shared = words()
    function* sender(): Script {
      shared[1] = 42
      yield* raise(shared)
    }
    function* receiver(): Script {
      if ((yield { op: 'load', args: [shared, 0] }) === 1) assert.strictEqual(shared[1], 42)
    }
    return { threads: [sender(), receiver()] }
  }
}

test('a message handed over by an Atomics store is no race, one handed over plainly is', () => {
  const good = messagePassing(function* (shared) {
    yield { op: 'store', args: [shared, 0, 1] }
  })
  expect(explore(good).ends).toBe(2)
  const bad = messagePassing(function* (shared) {
    yield { op: 'load', args: [shared, 2] }
    shared[0] = 1
  })
  expect(() => explore(bad)).toThrow(/data race/)
})

test('two stores, of which only the first hands over, do not order the second', () => {
  const model = (): Model => {
    const shared = words()
    function* sender(): Script {
      yield { op: 'store', args: [shared, 0, 1] }
      shared[1] = 42
      yield { op: 'store', args: [shared, 0, 2] }
    }
    function* receiver(): Script {
      // Sees the first store at times, which promises nothing about the payload.
      if (((yield { op: 'load', args: [shared, 0] }) as number) > 0) assert(shared[1] >= 0)
    }
    return { threads: [sender(), receiver()] }
  }
  expect(() => explore(model)).toThrow(/data race/)
})

test('a thread may die before each of its steps, and one dead thread at most', () => {
  const deaths = new Set<string>()
  const model = (): Model => {
    const shared = words()
    const steps = [0, 0]
    function* walk(me: number): Script {
      for (let step = 0; step < 2; step++) {
        yield { op: 'load', args: [shared, 0] }
        steps[me]++
      }
    }
    return {
      threads: [walk(0), walk(1)],
      killable: [0, 1],
      check: killed => void deaths.add(`${killed}:${steps.join()}`),
    }
  }
  explore(model)
  expect([...deaths].sort()).toEqual(['-1:2,2', '0:0,2', '0:1,2', '1:2,0', '1:2,1'])
})

test('a thread that nobody wakes is found', () => {
  const model = (): Model => {
    const shared = words()
    function* sleep(): Script {
      const wait = (yield { op: 'waitAsync', args: [shared, 0, 0] }) as { value: never }
      yield { op: 'await', promise: wait.value }
    }
    function* notifyOnce(): Script {
      yield { op: 'notify', args: [shared, 0, 1] }
    }
    return { threads: [sleep(), notifyOnce()] }
  }
  expect(() => explore(model)).toThrow(ModelError)
  expect(() => explore(model)).toThrow(/threads 0 sleep for ever/)
})
