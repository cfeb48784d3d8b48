/** What may happen in a script of the group model (model.test.ts), with how often. */
import fc from 'fast-check'
import { Errors } from '../../src/protocol/errors.ts'

export const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ do: fc.constant('act' as const), who: fc.nat(7) }) },
  { weight: 4, arbitrary: fc.constant({ do: 'everybody' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('spawn' as const),
      instance: fc.option(fc.constantFrom('i', 'j'), { freq: 3 }),
      version: fc.constantFrom(3, 4, 8, 9),
      offer: fc.nat(2),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('die' as const), who: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cut' as const), who: fc.nat(7) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), who: fc.nat(7) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('change' as const),
      who: fc.nat(7),
      offer: fc.nat(2),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.constantFrom(50, 1000, 4000, 11_000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('stall' as const), ms: fc.constantFrom(300, 60_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('store' as const),
      held: fc.boolean(),
      code: fc.constantFrom(Errors.NONE, Errors.NONE, Errors.COORDINATOR_NOT_AVAILABLE),
    }),
  },
)
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never
