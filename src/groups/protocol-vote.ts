/**
 * Which way of assigning a group takes: of those that every member can do, the one that most members name first; with
 * as many votes, the one that was voted for first. Dispatcher thread. Kept up to date with every member, so that
 * whether a newcomer fits does not cost a look at all of them.
 */
import { ensure } from '../ring/ensure.ts'
import type { MemberProtocol } from './calls.ts'

export class ProtocolVote {
  /** Protocol name -> members that can do it. */
  readonly #supporters = new Map<string, number>()
  #members = 0

  add(protocols: readonly MemberProtocol[]): void {
    this.#members++
    for (const { name } of protocols) {
      this.#supporters.set(name, (this.#supporters.get(name) ?? 0) + 1)
    }
  }

  remove(protocols: readonly MemberProtocol[]): void {
    this.#members--
    for (const { name } of protocols) {
      const left = (this.#supporters.get(name) ?? 0) - 1
      ensure(left >= 0, 'a protocol loses only the members it has')
      if (left === 0) this.#supporters.delete(name)
      else this.#supporters.set(name, left)
    }
  }

  /** Every member can do it; true for anything while there are none. */
  isCommon(name: string): boolean {
    return (this.#supporters.get(name) ?? 0) === this.#members
  }

  /** Some protocol of a newcomer can be done by everybody. */
  hasCommon(protocols: readonly MemberProtocol[]): boolean {
    return protocols.some(({ name }) => this.isCommon(name))
  }

  /** @param ballots the protocols of every member, in the order of its preference */
  choose(ballots: Iterable<readonly MemberProtocol[]>): string {
    const votes = new Map<string, number>()
    for (const protocols of ballots) {
      const first = protocols.find(({ name }) => this.isCommon(name))
      ensure(first !== undefined, 'no member joins without a common protocol')
      votes.set(first.name, (votes.get(first.name) ?? 0) + 1)
    }
    let chosen = ''
    let most = 0
    for (const [name, count] of votes) {
      if (count <= most) continue
      chosen = name
      most = count
    }
    ensure(most > 0, 'somebody votes')
    return chosen
  }
}
