/**
 * While a simulation runs nobody may look at the real clock, draw real random numbers or arm real timers: each would
 * make two runs of a seed differ. Node's own turn of the event loop is used to let promises settle, which is exact as
 * long as no real input or output is pending.
 */
import crypto from 'node:crypto'

const setImmediateBeforeTraps = setImmediate

/** Resolves when every promise that can settle has. */
export function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediateBeforeTraps(resolve))
}

const places: readonly (readonly [object: object, name: string])[] = [
  [Date, 'now'],
  [performance, 'now'],
  [Math, 'random'],
  [globalThis, 'setTimeout'],
  [globalThis, 'setInterval'],
  [globalThis, 'setImmediate'],
  [process, 'hrtime'],
  [crypto, 'randomBytes'],
  [crypto, 'randomUUID'],
  [crypto, 'randomInt'],
]

/** Sets the traps; the returned function takes them away. */
export function setTraps(): () => void {
  const saved = places.map(([object, name]) => Object.getOwnPropertyDescriptor(object, name))
  for (const [object, name] of places) {
    Object.defineProperty(object, name, {
      configurable: true,
      writable: true,
      value: () => {
        throw new Error(`${name} was called in a simulation: it is not the same in every run`)
      },
    })
  }
  return () => {
    for (const [index, [object, name]] of places.entries()) {
      const descriptor = saved[index]
      if (descriptor === undefined) Reflect.deleteProperty(object, name)
      else Object.defineProperty(object, name, descriptor)
    }
  }
}
