/** crc-32 types its default (IEEE) entry only. */
declare module 'crc-32/crc32c.js' {
  const table: { buf(bytes: Uint8Array, init?: number): number }
  export default table
}
