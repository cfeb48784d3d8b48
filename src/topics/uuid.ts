/** Random ids for topics and clusters, in Kafka's text form. */
import { randomBytes } from 'node:crypto'

/**
 * A version 4 UUID as 22 characters of base64url (Kafka's Uuid.randomUuid). Never one that starts with `-`, which
 * command line tools would take for a flag.
 */
export function newUuid(): string {
  for (;;) {
    const bytes = randomBytes(16)
    bytes[6] = (bytes[6] & 0x0f) | 0x40
    bytes[8] = (bytes[8] & 0x3f) | 0x80
    const id = bytes.toString('base64url')
    if (!id.startsWith('-')) return id
  }
}
