/** The rule for group ids and instance ids. Pure. Kafka has none beyond what a string of the protocol can hold. */

/** @param bytesMax id.max.bytes */
export function isIdTooLong(id: string, bytesMax: number): boolean {
  return id.length > bytesMax || Buffer.byteLength(id) > bytesMax
}
