/** Many attackers at a time against one broker, watched for what an attacker alone cannot see. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Attacker, Finding, hexOf } from './attacker.ts'
import { type BrokerUnderAttack, settings } from './broker-under-attack.ts'
import type { Case } from './cases.ts'

/** Connections whose answers are still owed, the oldest let go first. */
const parkedMax = 48
const parkAfterMs = 15
const attackersDefault = 12
/** Between two looks at the memory of the broker. */
const casesPerLook = 64

export class Siege {
  done = 0
  readonly #broker: BrokerUnderAttack
  readonly #attackers: readonly Attacker[]
  readonly #parked: (() => void)[] = []

  constructor(broker: BrokerUnderAttack) {
    this.#broker = broker
    const options = {
      port: broker.port,
      frameBytesMax: settings['socket.request.max.bytes'],
      parkAfterMs,
      answerTimeoutMs: broker.answerTimeoutMs,
      park: (end: () => void) => this.#park(end),
    }
    this.#attackers = Array.from({ length: attackersDefault }, () => new Attacker(options))
  }

  get answers(): number {
    return this.#attackers.reduce((sum, one) => sum + one.answers, 0)
  }
  get closes(): number {
    return this.#attackers.reduce((sum, one) => sum + one.closes, 0)
  }
  get parked(): number {
    return this.#attackers.reduce((sum, one) => sum + one.parked, 0)
  }
  get largestAnswerBytes(): number {
    return Math.max(...this.#attackers.map(one => one.largestAnswerBytes))
  }

  /**
   * All of `cases`.
   * @throws Error that says what was found, and the bytes to see it again; `describe` says how to.
   */
  async attack(cases: Iterator<Case>, describe: (one: Case) => string = nameOf): Promise<void> {
    const work = async (attacker: Attacker): Promise<void> => {
      for (let next = cases.next(); next.done !== true; next = cases.next()) {
        await attacker.attack(next.value)
        this.done++
        if (this.done % casesPerLook === 0) this.#broker.look()
      }
    }
    try {
      const working = Promise.all(this.#attackers.map(work))
      await Promise.race([working, this.#broker.trouble])
      this.#broker.look()
    } catch (error) {
      throw await this.#explained(error as Error, describe)
    }
  }

  /** Closes every connection. */
  leave(): void {
    for (const attacker of this.#attackers) attacker.end()
    for (const end of this.#parked.splice(0)) end()
  }

  #park(end: () => void): void {
    this.#parked.push(end)
    if (this.#parked.length > parkedMax) this.#parked.shift()?.()
  }

  async #explained(error: Error, describe: (one: Case) => string): Promise<Error> {
    // The process may be about to end, which says more than what an attacker saw of it.
    await sleep(500)
    const isOver = this.#broker.hasEnded
    const found = error instanceof Finding && !isOver ? error.found : null
    const suspects = found === null ? this.#attackers.flatMap(one => one.current ?? []) : [found]
    const why = isOver ? 'the broker process has ended' : error.message
    const lines = suspects.map(one => `${describe(one)}\n  ${hexOf(one.bytes, 20_000)}`)
    return new Error([why, this.#broker.lastWords(), ...lines].join('\n'), { cause: error })
  }
}

function nameOf({ api, version, index, kind }: Case): string {
  return `${api.name} v${version} case ${index} (${kind})`
}

/** A siege that is over when all cases have been sent. @returns how many */
export async function attackWith(
  broker: BrokerUnderAttack,
  cases: Iterator<Case>,
): Promise<number> {
  const siege = new Siege(broker)
  await siege.attack(cases)
  siege.leave()
  return siege.done
}
