/**
 * Newest offset of each key, in a fixed amount of memory: the key itself is not kept, 16 bytes of its SHA-1 stand for
 * it. Compaction tasks.
 *
 *   slot   | hash 16 bytes | offset 8 bytes |      open addressing, linear probing, at most 3/4 full
 *
 * SHA-1 and not a faster hash because keys come from clients: whoever could make two keys collide could have the
 * records of one removed by writing the other.
 */
import { hash } from 'node:crypto'

const WORDS = 4
const SLOT_BYTES = 24
const LOAD_MAX = 0.75

export class KeyMap {
  readonly keysMax: number
  /** Keys in it. */
  size = 0
  readonly #slots: number
  readonly #hashes: Int32Array
  /** -1 in an empty slot. */
  readonly #offsets: Float64Array

  /** Room for at least one key and at most `keysMax`, which is lowered to what `bytesMax` holds. */
  constructor(bytesMax: number, keysMax: number) {
    const fitting = Math.floor((bytesMax / SLOT_BYTES) * LOAD_MAX)
    this.keysMax = Math.max(1, Math.min(fitting, keysMax))
    this.#slots = Math.ceil(this.keysMax / LOAD_MAX) + 1
    this.#hashes = new Int32Array(this.#slots * WORDS)
    this.#offsets = new Float64Array(this.#slots).fill(-1)
  }

  /** Notes the key's offset unless a newer one is known. False when the key is new and there is no room for it. */
  put(key: Uint8Array, offset: number): boolean {
    const digest = hash('sha1', key, 'buffer')
    const slot = this.#find(digest)
    if (this.#offsets[slot] < 0) {
      if (this.size === this.keysMax) return false
      this.size++
      for (let word = 0; word < WORDS; word++) {
        this.#hashes[slot * WORDS + word] = digest.readInt32LE(word * 4)
      }
    }
    if (offset > this.#offsets[slot]) this.#offsets[slot] = offset
    return true
  }

  /** -1 when the key is unknown. */
  offsetOf(key: Uint8Array): number {
    return this.#offsets[this.#find(hash('sha1', key, 'buffer'))]
  }

  /** The key's slot, or the empty one where it belongs; there always is one. */
  #find(digest: Buffer): number {
    let slot = digest.readUInt32LE(0) % this.#slots
    while (this.#offsets[slot] >= 0 && !this.#isAt(slot * WORDS, digest)) {
      slot = slot + 1 === this.#slots ? 0 : slot + 1
    }
    return slot
  }

  #isAt(at: number, digest: Buffer): boolean {
    const hashes = this.#hashes
    return (
      hashes[at] === digest.readInt32LE(0) &&
      hashes[at + 1] === digest.readInt32LE(4) &&
      hashes[at + 2] === digest.readInt32LE(8) &&
      hashes[at + 3] === digest.readInt32LE(12)
    )
  }
}
