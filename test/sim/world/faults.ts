/**
 * What goes wrong with the disk. A seed enables some kinds, each with a rate of its own (swarm testing: a run that can
 * do everything rarely does anything long enough); `heal` ends them all.
 */
import type { OperationKind } from '../../support/fault-disk.ts'
import type { Random } from './random.ts'

export type { OperationKind }

export interface Operation {
  readonly kind: OperationKind
  readonly path: string
  readonly bytes: number
  readonly position: number
}

/** `short`: so many bytes are taken and no error is told. */
export type Fault = { readonly name: string; readonly code: string; readonly short: number | null }

interface FaultKind {
  readonly on: readonly OperationKind[]
  readonly code: string
  /** Highest and lowest rate a seed may draw. */
  readonly rates: readonly [number, number]
}

const eio = { code: 'EIO', rates: [0.0005, 0.02] } as const

export const faultKinds = {
  'sync-eio': { on: ['sync'], ...eio },
  'sync-enospc': { on: ['sync'], code: 'ENOSPC', rates: [0.0005, 0.02] },
  'sync-directory-eio': { on: ['syncDirectory'], ...eio },
  'write-eio': { on: ['write'], ...eio },
  'write-enospc': { on: ['write', 'create'], code: 'ENOSPC', rates: [0.002, 0.05] },
  'write-short': { on: ['write'], code: '', rates: [0.01, 0.4] },
  'read-eio': { on: ['read'], code: 'EIO', rates: [0.0002, 0.01] },
  'read-short': { on: ['read'], code: '', rates: [0.01, 0.3] },
  'open-emfile': { on: ['open', 'create'], code: 'EMFILE', rates: [0.001, 0.03] },
  'open-eio': { on: ['open', 'create', 'list', 'mkdir'], ...eio },
  'rename-eio': { on: ['rename'], ...eio },
  'unlink-eio': { on: ['unlink', 'remove'], ...eio },
  'truncate-eio': { on: ['truncate'], ...eio },
} satisfies Record<string, FaultKind>

export type FaultName = keyof typeof faultKinds

export class Faults {
  readonly #random: Random
  readonly #byKind = new Map<OperationKind, { name: FaultName; kind: FaultKind; rate: number }[]>()
  /** After an out-of-space error the next writes fail alike for so many operations. */
  #fullFor = 0
  isHealed = false
  readonly #slowest: number

  constructor(enabled: readonly FaultName[], random: Random) {
    this.#random = random
    this.#slowest = random.logRange(2, 2_000)
    for (const name of enabled) {
      const kind: FaultKind = faultKinds[name]
      const rate = random.logRange(kind.rates[0] * 1e6, kind.rates[1] * 1e6) / 1e6
      for (const on of kind.on) {
        const list = this.#byKind.get(on) ?? []
        list.push({ name, kind, rate })
        this.#byKind.set(on, list)
      }
    }
  }

  decide(operation: Operation): Fault | null {
    if (this.isHealed) return null
    const list = this.#byKind.get(operation.kind)
    if (list === undefined) return null
    const isFilling = operation.kind === 'write' || operation.kind === 'create'
    if (this.#fullFor > 0 && isFilling) {
      this.#fullFor--
      return { name: 'still full', code: 'ENOSPC', short: null }
    }
    for (const { name, kind, rate } of list) {
      if (!this.#random.chance(rate)) continue
      if (kind.code === '') {
        const short = 1 + this.#random.int(Math.max(1, operation.bytes - 1))
        return { name, code: '', short }
      }
      if (name === 'write-enospc') return this.#fill(operation)
      return { name, code: kind.code, short: null }
    }
    return null
  }

  /** As measured: the write that fills the disk is short and tells no error, the next ones fail (V1). */
  #fill(operation: Operation): Fault {
    this.#fullFor = this.#random.logRange(1, 30)
    const isShort = operation.bytes > 1 && this.#random.chance(0.5)
    const short = isShort ? 1 + this.#random.int(operation.bytes - 1) : null
    return { name: 'write-enospc', code: 'ENOSPC', short }
  }

  freeBytes(): number {
    return this.#fullFor > 0 ? 1024 * 1024 : 2 ** 40
  }

  /** How long the next sync takes. */
  syncMs(): number {
    if (this.isHealed) return 1
    if (this.#random.chance(0.01)) return this.#slowest * 10
    return this.#random.logRange(1, this.#slowest) / 4
  }

  heal(): void {
    this.isHealed = true
    this.#fullFor = 0
  }
}
