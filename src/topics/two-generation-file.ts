/**
 * A small document that survives crashes and the rot of one file: two copies, each with a generation and a CRC.
 * Metadata is not a cache: when no copy is readable the broker refuses to start (RELIABILITY 2.4).
 *
 *   <name>-a, <name>-b:   odradek 1 <generation> <crc32c, hex> <content bytes>\n<content>
 *                         the CRC covers "<generation> <content>"
 *
 * A save writes the older copy, syncs it, then the other. A crash in between leaves the last or the new generation;
 * after a save both hold the new one, so losing either file loses nothing that was acknowledged.
 */
import { type FileHandle, open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32c } from '../protocol/crc32c.ts'
import { syncDirectory } from './sync-directory.ts'

interface Copy {
  readonly path: string
  /** 0 = missing, -1 = unreadable. */
  generation: number
  /** Why it is unreadable. */
  reason: string
}

/** Both copies are unreadable. The message names them and the cure. */
export class MetadataCorruptError extends Error {
  override name = 'MetadataCorruptError'
}

const HEADER = /^odradek 1 (\d{1,15}) ([0-9a-f]{8}) (\d{1,10})\n/
const HEADER_BYTES_MAX = 64

export class TwoGenerationFile {
  readonly #copies: readonly [Copy, Copy]
  readonly #onWarning: (message: string) => void

  /** `path` without the suffix. Warnings are about one bad copy while the other served. */
  constructor(path: string, onWarning: (message: string) => void = () => {}) {
    this.#copies = [
      { path: `${path}-a`, generation: 0, reason: '' },
      { path: `${path}-b`, generation: 0, reason: '' },
    ]
    this.#onWarning = onWarning
  }

  /** The newest readable content; null when neither copy exists. Throws MetadataCorruptError when none is readable. */
  async load(): Promise<Buffer | null> {
    const [a, b] = this.#copies
    const [contentA, contentB] = [await loadCopy(a), await loadCopy(b)]
    const best = a.generation >= b.generation ? a : b
    const bad = this.#copies
      .filter(copy => copy.generation === -1)
      .map(copy => `${copy.path} (${copy.reason})`)
    if (best.generation > 0) {
      if (bad.length > 0) this.#onWarning(`${bad[0]} is unreadable, ${best.path} is used instead`)
      return best === a ? contentA : contentB
    }
    if (bad.length === 0) return null
    throw new MetadataCorruptError(
      `no readable copy of the metadata: ${bad.join(', ')}: restore a copy from a backup; nothing was changed`,
    )
  }

  /**
   * Durable when resolved. Calls must not overlap. Rejects when no copy took the content; the last one is still there
   * then. One copy failing is a warning: the content is durable in the other.
   */
  async save(content: Uint8Array): Promise<void> {
    const [a, b] = this.#copies
    const [first, second] = a.generation <= b.generation ? [a, b] : [b, a]
    const generation = Math.max(a.generation, b.generation, 0) + 1
    const bytes = encode(generation, content)
    await this.#write(first, bytes, generation)
    try {
      await this.#write(second, bytes, generation)
    } catch (error) {
      this.#onWarning(`${second.path} could not be written: ${(error as Error).message}`)
    }
  }

  async #write(copy: Copy, bytes: Buffer, generation: number): Promise<void> {
    // A new file gets its name only when whole, so an unreadable copy beside a missing one is rot, never a first save
    // that a crash cut short.
    const isNew = copy.generation <= 0
    const path = isNew ? `${copy.path}.new` : copy.path
    if (!isNew) copy.generation = -1
    let file: FileHandle | undefined
    try {
      file = await open(path, 'w', 0o640)
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file?.close()
    }
    if (isNew) {
      await rename(path, copy.path)
      await syncDirectory(dirname(copy.path))
    }
    copy.generation = generation
  }
}

function encode(generation: number, content: Uint8Array): Buffer {
  const crc = checksum(generation, content)
  return Buffer.concat([Buffer.from(`odradek 1 ${generation} ${crc} ${content.length}\n`), content])
}

function checksum(generation: number, content: Uint8Array): string {
  const crc = crc32c(content, crc32c(Buffer.from(`${generation} `)))
  return crc.toString(16).padStart(8, '0')
}

async function loadCopy(copy: Copy): Promise<Buffer | null> {
  let bytes: Buffer
  try {
    bytes = await readFile(copy.path)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
    copy.generation = code === 'ENOENT' ? 0 : -1
    copy.reason = code
    return null
  }
  copy.generation = -1
  copy.reason = 'damaged'
  const header = HEADER.exec(bytes.toString('latin1', 0, HEADER_BYTES_MAX))
  if (header === null) return null
  const content = bytes.subarray(header[0].length)
  if (Number(header[3]) !== content.length) return null
  if (checksum(Number(header[1]), content) !== header[2]) return null
  copy.generation = Number(header[1])
  return content
}
