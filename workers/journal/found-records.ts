/**
 * The records of one log in an owner's journal, in the order in which they were written. A journal may hold millions,
 * so they are kept as plain numbers, seven each, until their log is replayed. Replay task only.
 */
import type { DiskFile } from '../../src/contracts/disk.ts'
import type { FoundRecord } from './read-journal.ts'

const FIELDS = 7

export class FoundRecords {
  readonly #topicId: string
  readonly #partition: number
  readonly #files: DiskFile[] = []
  readonly #numbers: number[] = []

  constructor({ topicId, partition }: FoundRecord) {
    this.#topicId = topicId
    this.#partition = partition
  }

  add(record: FoundRecord): void {
    const { segmentBase, position, baseOffset, endOffset, bytes, journal, journalPosition } = record
    if (this.#files.at(-1) !== journal) this.#files.push(journal)
    const file = this.#files.length - 1
    this.#numbers.push(segmentBase, position, baseOffset, endOffset, bytes, file, journalPosition)
  }

  all(): FoundRecord[] {
    const numbers = this.#numbers
    const found: FoundRecord[] = []
    for (let at = 0; at < numbers.length; at += FIELDS) {
      found.push({
        topicId: this.#topicId,
        partition: this.#partition,
        segmentBase: numbers[at],
        position: numbers[at + 1],
        baseOffset: numbers[at + 2],
        endOffset: numbers[at + 3],
        bytes: numbers[at + 4],
        journal: this.#files[numbers[at + 5]],
        journalPosition: numbers[at + 6],
      })
    }
    return found
  }
}
