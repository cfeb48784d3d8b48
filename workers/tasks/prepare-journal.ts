/** Task pool: makes the files of an owner's journal, which takes a while; the owner opens them when that is done. */
import { realDisk } from '../disk.ts'
import { prepareJournal } from '../journal/files.ts'

export interface PrepareInput {
  readonly paths: readonly string[]
  readonly bytes: number
}

export default function prepare({ paths, bytes }: PrepareInput): void {
  prepareJournal(realDisk, paths, bytes)
}
