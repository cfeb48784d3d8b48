/**
 * The two files of an owner's journal: names, making them, emptying them. Owner threads and pool tasks; blocks.
 *
 *   <data directory>/journal-0-a    all of it written with zeros and synced once, so that a sync of a round has nothing
 *                    journal-0-b    but data to write
 *
 * An empty journal begins with a round without records: it keeps the epoch, so that what lies behind from older uses is
 * never taken for its continuation.
 */
import type { Disk } from '../../src/contracts/disk.ts'
import { codedError, createEmpty, readFully, unlinkIfThere, writeFully } from '../log/files.ts'
import { decodeHeader, encodeHead, HEADER_BYTES } from './format.ts'

const pattern = /^journal-(\d+)-([ab])$/
const CHUNK_BYTES = 1024 * 1024

export function journalPaths(dataDirectory: string, ownerIndex: number): [string, string] {
  const path = (letter: 'a' | 'b'): string => `${dataDirectory}/journal-${ownerIndex}-${letter}`
  return [path('a'), path('b')]
}

/** Journal files of all owners, also of those that a run with more of them left; sorted. */
export function listJournals(disk: Disk, dataDirectory: string): string[] {
  const names = disk.list(dataDirectory).filter(name => pattern.test(name))
  return names.sort().map(name => `${dataDirectory}/${name}`)
}

/** Of which owner a journal file is. */
export function ownerOf(path: string): number {
  return Number(pattern.exec(path.slice(path.lastIndexOf('/') + 1))![1])
}

/** They are made while they take no more than this share of what is free. */
const FREE_SHARE = 0.1

/**
 * Makes `paths` files of `bytes`, unless they are. Throws as the disk does, and leaves none of wrong size; ENOSPC also
 * where the room is better kept for records.
 */
export function prepareJournal(disk: Disk, paths: readonly string[], bytes: number): void {
  const [first = ''] = paths
  const directory = first.slice(0, first.lastIndexOf('/'))
  const missing = paths.filter(path => !disk.exists(path) || sizeOf(disk, path) !== bytes)
  for (const path of missing) {
    const free = disk.freeBytes(directory)
    if (missing.length * bytes > free * FREE_SHARE) {
      throw codedError('ENOSPC', `no room for ${path}: ${free} bytes are free`)
    }
    try {
      fillWithZeros(disk, path, bytes)
    } catch (error) {
      unlinkIfThere(disk, path)
      throw error
    }
  }
  // Of files that are there as well: who made them may have died before their names were on disk.
  disk.syncDirectory(directory)
}

function fillWithZeros(disk: Disk, path: string, bytes: number): void {
  const file = createEmpty(disk, path)
  try {
    const zeros = Buffer.alloc(Math.min(CHUNK_BYTES, bytes))
    for (let at = 0; at < bytes; at += zeros.length) {
      writeFully(file, zeros.subarray(0, Math.min(zeros.length, bytes - at)), at)
    }
    file.sync()
  } finally {
    file.close()
  }
}

function sizeOf(disk: Disk, path: string): number {
  const file = disk.open(path, 'r')
  try {
    return file.sizeBytes()
  } finally {
    file.close()
  }
}

/**
 * An epoch that none of the files has seen. Asked of all files that are used together: one may have lost its beginning,
 * and what lies behind is of any age.
 */
export function nextEpoch(disk: Disk, paths: readonly string[]): number {
  return paths.reduce((epoch, path) => Math.max(epoch, epochOf(disk, path)), 0) + 1
}

/** Of the first round in the file; 0 where there is none. */
function epochOf(disk: Disk, path: string): number {
  const file = disk.open(path, 'r')
  try {
    const head = Buffer.alloc(HEADER_BYTES)
    const got = readFully(file, head, 0)
    return decodeHeader(head.subarray(0, got))?.epoch ?? 0
  } finally {
    file.close()
  }
}

/** Nothing in the file is replayed any more, once this has returned. `epoch`: see `nextEpoch`. */
export function emptyJournal(disk: Disk, path: string, epoch: number): void {
  const file = disk.open(path, 'r+')
  try {
    const head = Buffer.alloc(HEADER_BYTES)
    encodeHead(head, { epoch, generation: 0, round: 0, bytes: HEADER_BYTES }, [], [])
    writeFully(file, head, 0)
    file.sync()
  } finally {
    file.close()
  }
}
